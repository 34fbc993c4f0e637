import pg from 'pg'

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })

await pool.query(`
  CREATE TABLE IF NOT EXISTS users (
    id serial PRIMARY KEY, email text UNIQUE NOT NULL, password_hash text NOT NULL);
  CREATE TABLE IF NOT EXISTS invoices (
    id serial PRIMARY KEY, user_id integer NOT NULL REFERENCES users, customer text NOT NULL,
    cents integer NOT NULL, paid boolean NOT NULL DEFAULT false)`)
