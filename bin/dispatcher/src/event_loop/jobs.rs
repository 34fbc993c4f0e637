//! The tasks that do what the board decides.

use std::sync::Arc;

use super::{Answer, Dispatcher, Done, MAX_ACKNOWLEDGING};
use crate::backend::MAX_BATCH;
use crate::scheduler::{Job, Outcome, Step};

impl Dispatcher {
    pub(super) fn work(&mut self, job: Job) {
        if self.batches && job.step == Step::Acknowledge {
            self.to_acknowledge.push(job);
            return;
        }
        let (backend, daemon) = (Arc::clone(&self.backend), Arc::clone(&self.daemon));
        self.tasks.spawn(async move {
            let outcome = match &job.step {
                Step::Forward => Outcome::Forwarded(daemon.forward(&job.delivery).await),
                Step::Acknowledge => Outcome::Told(backend.acknowledge(&job.delivery).await),
                Step::Bury(error) => {
                    Outcome::Told(backend.bury(&job.delivery, error, job.attempts).await)
                }
            };
            Done::Worked(job, outcome)
        });
    }

    /// Tells the backend of all that was delivered meanwhile.
    pub(super) fn acknowledge(&mut self) {
        while !self.to_acknowledge.is_empty() && self.acknowledging < MAX_ACKNOWLEDGING {
            let rest = self.to_acknowledge.split_off(self.to_acknowledge.len().min(MAX_BATCH));
            let jobs = std::mem::replace(&mut self.to_acknowledge, rest);
            self.acknowledging += 1;
            let backend = Arc::clone(&self.backend);
            self.tasks.spawn(async move {
                let deliveries: Vec<_> = jobs.iter().map(|job| Arc::clone(&job.delivery)).collect();
                let answers = backend.acknowledge_many(&deliveries).await;
                Done::Acknowledged(jobs.into_iter().zip(answers).collect())
            });
        }
    }

    pub(super) fn acknowledged(&mut self, answers: Vec<(Job, Answer)>) {
        self.acknowledging -= 1;
        for (job, answer) in answers {
            self.worked(&job, Outcome::Told(answer));
        }
    }
}
