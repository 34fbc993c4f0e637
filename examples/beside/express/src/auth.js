import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'
import { pool } from './db.js'

const hash = (password, salt) => scryptSync(password, salt, 32)

export async function register(email, password) {
  const salt = randomBytes(16)
  const stored = `${salt.toString('hex')}$${hash(password, salt).toString('hex')}`
  const made = await pool.query(
    'INSERT INTO users (email, password_hash) VALUES ($1, $2) RETURNING id', [email, stored])
  return made.rows[0].id
}

export async function login(email, password) {
  const { rows } = await pool.query('SELECT id, password_hash FROM users WHERE email = $1', [email])
  const [salt, stored] = (rows[0]?.password_hash ?? '00$').split('$').map((part) => Buffer.from(part, 'hex'))
  const given = hash(password, salt)
  return stored.length === given.length && timingSafeEqual(stored, given) ? rows[0].id : null
}

/** Whoever has logged in is `req.user`; nobody else passes. */
export async function requireUser(req, res, next) {
  const id = req.session.userId
  const { rows } = await pool.query('SELECT id, email FROM users WHERE id = $1', [id ?? null])
  if (rows.length === 0) return res.status(401).json({ message: 'Please log in' })
  req.user = rows[0]
  next()
}
