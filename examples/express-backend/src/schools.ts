// The application itself: schools that people look for and visit. An agent may do what its user may.

import { randomUUID } from "node:crypto";

import { Router } from "express";
import { z } from "zod";

import { me } from "./auth.js";
import { invalid, notAllowed, notFound } from "./errors.js";
import { answer, Paging, Shelf } from "./store.js";

const SCHOOLS = [
  { id: "sch_1", name: "Dune Street Primary", near: "beach", fees: 0 },
  { id: "sch_2", name: "Harbour Grammar", near: "river", fees: 18_500 },
  { id: "sch_3", name: "Hillside High", near: "park", fees: 1_200 },
];

const Search = z.object({
  near: z.enum(["beach", "park", "river"]).optional(),
  max_fees: z.number().min(0).optional(),
});
const NewVisit = z.object({ day: z.iso.date(), visitors: z.number().int().min(1).max(20) });

type Visit = z.infer<typeof NewVisit> & { id: string; school_id: string };

const visits = new Shelf<Visit>();

export const schools = Router();

schools
  .route("/search")
  .post((req, res) => {
    const { near, max_fees } = Search.parse(req.body);
    const fits = (school: (typeof SCHOOLS)[number]) =>
      (near === undefined || school.near === near) &&
      (max_fees === undefined || school.fees <= max_fees);
    res.json({ schools: SCHOOLS.filter(fits) });
  })
  .all(notAllowed);

schools
  .route("/visits")
  .get((req, res) => void res.json(visits.page(me(req).userId, Paging.parse(req.query))))
  .all(notAllowed);

schools
  .route("/:id/visits")
  .post((req, res) => {
    const school = SCHOOLS.find(({ id }) => id === req.params.id);
    if (!school) throw notFound("school");
    const visit = NewVisit.parse(req.body);
    const key = req.get("idempotency-key");
    if (key === "") throw invalid("Idempotency-Key must not be empty");
    const make = () => ({ id: randomUUID(), school_id: school.id, ...visit });
    answer(res, visits.create(me(req).userId, key, { school: school.id, body: req.body }, make));
  })
  .all(notAllowed);
