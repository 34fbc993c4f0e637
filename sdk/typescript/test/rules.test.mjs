// Rules of the contract that need no server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readCondition } from "../dist/conditions.js";
import { Cron } from "../dist/cron.js";
import { canonical, parseJson, toJson } from "../dist/json.js";
import { compileSchema } from "../dist/json-schema.js";
import { mediaTypeOf } from "../dist/media-type.js";
import { mentionedRoles } from "../dist/mentions.js";
import { givenAnswer, writtenAnswer } from "../dist/features/questions.js";
import { Times } from "../dist/features/schedule-times.js";

test("numbers keep all their digits, and equal values are the same", () => {
  const text = '{"big":12345678901234567890,"fine":0.1000000000000000055,"small":1e-400,"huge":1e999,"plain":[1,-0.5,1e2]}';
  const again = toJson(parseJson(text));
  assert.equal(again, text.replace("1e2", "100"));
  assert.equal(canonical(parseJson('{"b":1.0,"a":{"y":5e2,"x":"\\u0064"}}')), '{"a":{"x":"d","y":500},"b":1}');
  assert.notEqual(canonical(parseJson("[12345678901234567890]")), canonical(parseJson("[12345678901234567891]")));
  assert.equal(Object.keys(parseJson('{"__proto__": 1}')).length, 1);
});

test("mentions begin a word, and code is none", () => {
  for (const [text, roles] of [
    ["@scout find it, @analyst too, @scout!", ["scout", "analyst"]],
    ["mail me@scout.example or @", []],
    ["(@jarvis) and `@code`", ["jarvis"]],
    ["@-x @_y @a/../b", ["a"]],
    ["ü@scout @scout-", ["scout"]],
    ["it's `broken @scout", ["scout"]],
  ]) {
    assert.deepEqual(mentionedRoles(text), roles, text);
  }
});

test("what a condition says nothing about does not fit", () => {
  const fits = (when, args) => readCondition(when)(args) === undefined;
  const small = { amount: { lte: 50 }, "card.country": { in: ["DE", "FR"] } };
  assert.ok(fits(small, { amount: 50, card: { country: "DE" } }));
  assert.ok(!fits(small, { amount: 51, card: { country: "DE" } }));
  assert.ok(!fits(small, { amount: "1", card: { country: "DE" } }), "a text is no small amount");
  assert.ok(!fits(small, { amount: 1 }), "what is missing does not fit");
  assert.ok(!fits({ amount: { not: { gt: 50 } } }, { amount: "99" }), "also where it is negated");
  assert.ok(!fits({ amount: { lte: 50 } }, { amount: parseJson("99999999999999999999") }));
  assert.ok(fits({ a: { anyOf: [{ lt: 1 }, { minLength: 2 }] } }, { a: "xy" }));
  for (const wrong of [{ a: { greater: 1 } }, { a: 5 }, { a: { format: "date" } }, { a: { $ref: "#" } }, { a: { then: {} } }, { "": {} }, 7]) {
    assert.equal(typeof readCondition(wrong), "string", JSON.stringify(wrong));
  }
});

test("lines are due as cron(5) says, also where clocks change", () => {
  const due = (line, zone, from, many) => {
    const found = [];
    for (const slot of new Cron(line).slots(zone, Date.parse(from))) {
      if (found.push(new Date(slot).toISOString().slice(0, 16)) >= many) break;
    }
    return found;
  };
  assert.deepEqual(due("0 9 * * mon", "Europe/Berlin", "2026-03-23T00:00:00Z", 2), ["2026-03-23T08:00", "2026-03-30T07:00"]);
  assert.deepEqual(due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2), ["2026-03-29T01:00", "2026-03-30T00:30"]);
  assert.deepEqual(due("*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 4), ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30"]);
  assert.deepEqual(due("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00"]);
  assert.deepEqual(due("0 0 1 * 0", "UTC", "2026-05-30T00:00:00Z", 3), ["2026-05-31T00:00", "2026-06-01T00:00", "2026-06-07T00:00"]);
  assert.deepEqual(due("5/20 * * * *", "UTC", "2026-01-01T00:00:00Z", 4), ["2026-01-01T00:05", "2026-01-01T00:25", "2026-01-01T00:45", "2026-01-01T01:05"]);
  for (const wrong of ["* * * *", "60 * * * *", "0 9 * * funday", "@reboot", "0 0 30 2 *", "0 0 L * *", "5-1 * * * *", "*/0 * * * *"]) {
    assert.throws(() => new Cron(wrong), Error, wrong);
  }
});

test("late slots are caught up with as the schedule says", () => {
  const times = Times.read({ cron: "*/2 * * * *", timezone: "UTC" });
  const due = (catchUp, left) => {
    const { made, next } = times.due(Date.parse("2026-05-05T10:00:00Z"), Date.parse("2026-05-05T10:11:00Z"), catchUp, left);
    return [made.map(({ slot, missed }) => [new Date(slot).toISOString().slice(11, 16), missed]), next && new Date(next).toISOString().slice(11, 16)];
  };
  const onTime = [["10:06", 0], ["10:08", 0], ["10:10", 0]];
  assert.deepEqual(due("last"), [[["10:04", 2], ...onTime], "10:12"]);
  assert.deepEqual(due("skip"), [onTime, "10:12"]);
  assert.deepEqual(due("all"), [[["10:00", 0], ["10:02", 0], ["10:04", 0], ...onTime], "10:12"]);
  assert.deepEqual(due("all", 2), [[["10:00", 0], ["10:02", 0]], undefined]);
});

test("a person's words become an answer", () => {
  const options = { question: "?", options: ["Red", "Dark blue"] };
  const free = { question: "?" };
  const number = { question: "?", schema: { type: "integer" } };
  for (const [question, text, answer] of [
    [options, " red ", "Red"],
    [options, "@scout: DARK BLUE", "Dark blue"],
    [options, "@scouts red", undefined],
    [free, "@scout, both", "both"],
    [free, "@scout", undefined],
    [number, "7", 7],
    [number, "seven", undefined],
  ]) {
    assert.deepEqual(writtenAnswer(question, "scout", text).answer, answer, text);
  }
  assert.ok("errors" in givenAnswer(number, "7"));
});

test("schemas that lead elsewhere are refused, and patterns take linear time", () => {
  assert.throws(() => compileSchema({ $ref: "https://example.com/schema" }));
  assert.throws(() => compileSchema({ type: "no such type" }));
  const begun = Date.now();
  assert.ok(compileSchema({ pattern: "^(a+)+$" })(`${"a".repeat(5_000)}!`).length > 0);
  assert.ok(Date.now() - begun < 2_000, "a pattern took its time");
});

test("bytes are what they are", () => {
  const of = (said, name, text) => mediaTypeOf(said, name, Buffer.from(text, "latin1"));
  assert.equal(of("text/plain", "x", "\x89PNG\r\n\x1a\n\0\0"), "image/png");
  assert.equal(of("image/png", "x", "<!doctype html><script>1</script>"), "text/html");
  assert.equal(of(undefined, "a.csv", "a,b\n"), "text/csv");
  assert.equal(of("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "a.docx", "PK\x03\x04\0"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document");
  assert.equal(of("image/svg+xml", "x", "words"), "text/plain");
  assert.equal(of(undefined, "x", "\0\x01\x02"), "application/octet-stream");
});
