import express from 'express'
import session from 'express-session'
import swaggerJsdoc from 'swagger-jsdoc'
import { login, register, requireUser } from './auth.js'
import { invoices } from './invoices.js'

const definition = { openapi: '3.0.3', info: { title: 'Invoices', version: '3.1.0' } }
const document = swaggerJsdoc({ definition, apis: ['src/*.js'] })

const app = express()
app.use(express.json())
app.use(session({ secret: process.env.SESSION_SECRET, resave: false, saveUninitialized: false }))
app.get('/api-docs.json', (req, res) => res.json(document))

app.post('/register', async (req, res) => {
  res.status(201).json({ id: await register(req.body.email, req.body.password) })
})

app.post('/login', async (req, res) => {
  const id = await login(req.body.email, req.body.password)
  if (id === null) return res.status(401).json({ message: 'Wrong e-mail or password' })
  req.session.userId = id
  res.json({ id })
})

app.use('/api', requireUser)
app.use('/api/invoices', invoices)

const port = Number(process.env.PORT ?? 3000)
app.listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`))
