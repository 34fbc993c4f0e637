//! Starts the tasks that carry out what the scheduler decides.

use std::sync::Arc;

use super::{Dispatcher, MAX_ACK_CALLS, TaskResult};
use crate::backend::MAX_BATCH;
use crate::scheduler::{AckResult, Job, Outcome, Step};

impl Dispatcher {
    /// Starts a job, or queues it for the next batch of acknowledgements.
    pub(super) fn start_job(&mut self, job: Job) {
        if self.batches && job.step == Step::Acknowledge {
            self.ack_queue.push(job);
            return;
        }
        let (backend, daemon) = (Arc::clone(&self.backend), Arc::clone(&self.daemon));
        self.tasks.spawn(async move {
            let outcome = match &job.step {
                Step::Forward => Outcome::Forwarded(daemon.forward(&job.delivery).await),
                Step::Acknowledge => Outcome::Acked(backend.acknowledge(&job.delivery).await),
                Step::DeadLetter(error) => {
                    Outcome::Acked(backend.dead_letter(&job.delivery, error, job.attempts).await)
                }
            };
            TaskResult::JobDone(job, outcome)
        });
    }

    /// Sends the queued acknowledgements in batches.
    pub(super) fn start_ack_calls(&mut self) {
        while !self.ack_queue.is_empty() && self.ack_calls < MAX_ACK_CALLS {
            let rest = self.ack_queue.split_off(self.ack_queue.len().min(MAX_BATCH));
            let jobs = std::mem::replace(&mut self.ack_queue, rest);
            self.ack_calls += 1;
            let backend = Arc::clone(&self.backend);
            self.tasks.spawn(async move {
                let deliveries: Vec<_> = jobs.iter().map(|job| Arc::clone(&job.delivery)).collect();
                let results = backend.acknowledge_batch(&deliveries).await;
                TaskResult::AcksDone(jobs.into_iter().zip(results).collect())
            });
        }
    }

    /// A batch of acknowledgements is done.
    pub(super) fn handle_ack_results(&mut self, results: Vec<(Job, AckResult)>) {
        self.ack_calls -= 1;
        for (job, result) in results {
            self.handle_job_result(&job, Outcome::Acked(result));
        }
    }
}
