// What the libraries take that are told nothing but the secret and the algorithm: JSON of tokens in, of verdicts out.
import { createVerifier } from "fast-jwt"
import { verify } from "hono/jwt"
import { jwtVerify } from "jose"
import jwt from "jsonwebtoken"

const secret = process.env.AGENT_JWT_SECRET
const key = new TextEncoder().encode(secret)
const libraries = {
  "jsonwebtoken, express-jwt, NestJS": async (token) => jwt.verify(token, secret, { algorithms: ["HS256"] }),
  jose: (token) => jwtVerify(token, key, { algorithms: ["HS256"] }),
  "fast-jwt": async (token) => createVerifier({ key: secret, algorithms: ["HS256"] })(token),
  Hono: (token) => verify(token, secret, "HS256"),
}
const verdicts = {}
for (const [name, check] of Object.entries(libraries)) {
  verdicts[name] = []
  for (const token of JSON.parse(process.argv[2])) verdicts[name].push(await check(token).then(() => true, () => false))
}
console.log(JSON.stringify(verdicts))
