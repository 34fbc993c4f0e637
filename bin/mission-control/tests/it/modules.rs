// What both test programs run.

mod auth;
mod board;
mod budgets;
mod conformance;
mod demo;
mod errors;
mod events;
mod faults;
mod harness;
mod heartbeat;
mod leases;
mod login;
mod metrics;
mod instances;
mod notifications;
mod outages;
mod page;
mod paging;
mod queue;
mod repeats;
mod restart;
mod runs;
mod standup;
mod tenancy;
mod tool_requests;
mod tools;
