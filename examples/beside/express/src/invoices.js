import { Router } from 'express'
import { pool } from './db.js'

export const invoices = Router()
const columns = 'id, customer, cents, paid'

/**
 * @openapi
 * /api/invoices:
 *   get:
 *     operationId: listInvoices
 *     summary: The user's own invoices
 *     parameters:
 *       - { name: paid, in: query, schema: { type: boolean } }
 *     responses: { 200: { description: A list } }
 *   post:
 *     operationId: createInvoice
 *     summary: Write an invoice
 *     requestBody:
 *       required: true
 *       content:
 *         application/json:
 *           schema:
 *             type: object
 *             required: [customer, cents]
 *             properties:
 *               customer: { type: string, minLength: 1 }
 *               cents: { type: integer, minimum: 1 }
 *     responses: { 201: { description: The invoice } }
 */
invoices.get('/', async (req, res) => {
  const paid = req.query.paid === undefined ? null : req.query.paid === 'true'
  const found = await pool.query(
    `SELECT ${columns} FROM invoices WHERE user_id = $1 AND ($2::boolean IS NULL OR paid = $2) ORDER BY id`,
    [req.user.id, paid])
  res.json(found.rows)
})

invoices.post('/', async (req, res) => {
  const { customer, cents } = req.body ?? {}
  if (typeof customer !== 'string' || !Number.isInteger(cents) || cents < 1) {
    return res.status(400).json({ message: 'customer and cents are required' })
  }
  const made = await pool.query(
    `INSERT INTO invoices (user_id, customer, cents) VALUES ($1, $2, $3) RETURNING ${columns}`,
    [req.user.id, customer, cents])
  res.status(201).json(made.rows[0])
})

/**
 * @openapi
 * /api/invoices/{id}:
 *   parameters:
 *     - { name: id, in: path, required: true, schema: { type: integer } }
 *   patch:
 *     operationId: changeInvoice
 *     summary: Mark an invoice as paid or unpaid
 *     requestBody:
 *       required: true
 *       content:
 *         application/json:
 *           schema:
 *             type: object
 *             required: [paid]
 *             properties: { paid: { type: boolean } }
 *     responses: { 200: { description: The invoice }, 404: { description: No such invoice } }
 *   delete:
 *     operationId: deleteInvoice
 *     summary: Delete an invoice for good
 *     responses: { 204: { description: Deleted }, 404: { description: No such invoice } }
 */
invoices.patch('/:id', async (req, res) => {
  const changed = await pool.query(
    `UPDATE invoices SET paid = $3 WHERE id = $1 AND user_id = $2 RETURNING ${columns}`,
    [req.params.id, req.user.id, req.body?.paid === true])
  if (changed.rowCount === 0) return res.status(404).json({ message: 'No such invoice' })
  res.json(changed.rows[0])
})

invoices.delete('/:id', async (req, res) => {
  const gone = await pool.query('DELETE FROM invoices WHERE id = $1 AND user_id = $2', [req.params.id, req.user.id])
  if (gone.rowCount === 0) return res.status(404).json({ message: 'No such invoice' })
  res.status(204).end()
})
