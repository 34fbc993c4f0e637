//! Log lines that are gathered for some milliseconds and leave as one piece: under load a line costs
//! its program a copy, and not a system call and the waking of whoever reads the log.
//!
//! A program that is killed loses what it said in the last [`GATHERING`]. When the log is not read,
//! nobody waits for it: lines are dropped beyond [`MOST`] and counted, and their number is told as
//! soon as it is read again.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For how long lines are gathered.
const GATHERING: Duration = Duration::from_millis(5);

/// So many bytes leave at once.
const EARLY: usize = 64 * 1024;

/// The most bytes that wait.
const MOST: usize = 4 * 1024 * 1024;

/// How long [`Gatherer::flush`] waits for a log that is not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes lines in; a thread writes them. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Gatherer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something has come, enough has come, or all has been written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    is_writing: bool,
    /// Somebody waits until all is written.
    in_a_hurry: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written next, once it was gathered, and how many lines are missing behind it.
    fn next(&self, mut empty: Vec<u8>) -> (Vec<u8>, u64) {
        let state = self.lock();
        let state = self.changed.wait_while(state, |state| state.waiting.is_empty());
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let few = |state: &mut State| state.waiting.len() < EARLY && !state.in_a_hurry;
        let gathered = self.changed.wait_timeout_while(state, GATHERING, few);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.waiting, &mut empty);
        state.is_writing = true;
        (empty, std::mem::take(&mut state.dropped))
    }

    fn written(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }
}

impl Gatherer {
    /// Begins to write to `out`; `missing` makes the line that tells how many were dropped.
    pub(super) fn start(
        mut out: impl Write + Send + 'static,
        missing: fn(u64) -> String,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        // It ends with the process.
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            let mut buffer = Vec::new();
            loop {
                let (mut lines, dropped) = theirs.next(std::mem::take(&mut buffer));
                if dropped > 0 {
                    lines.extend_from_slice(missing(dropped).as_bytes());
                }
                // Nobody is left to be told of a log that cannot be written.
                let _ = out.write_all(&lines).and_then(|()| out.flush());
                lines.clear();
                lines.shrink_to(EARLY);
                buffer = lines;
                theirs.written();
            }
        })?;
        Ok(Self(shared))
    }

    /// Waits until all that was taken in is written, but not for ever.
    pub(super) fn flush(&self) {
        let mut state = self.0.lock();
        state.in_a_hurry = true;
        self.0.changed.notify_all();
        let busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let done = self.0.changed.wait_timeout_while(state, PATIENCE, busy);
        let (mut state, _) = done.unwrap_or_else(PoisonError::into_inner);
        state.in_a_hurry = false;
    }
}

impl Write for Gatherer {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        let before = state.waiting.len();
        let after = before + line.len();
        if after > MOST {
            state.dropped += 1;
            return Ok(line.len());
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        if before == 0 || (before < EARLY && after >= EARLY) {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A log whose pieces somebody takes one by one.
    struct Taken(mpsc::SyncSender<Vec<u8>>);

    impl Write for Taken {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            self.0.send(piece.to_vec()).map_err(io::Error::other)?;
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn missing(dropped: u64) -> String {
        format!("{dropped} are missing\n")
    }

    #[test]
    fn lines_leave_together_whole_and_in_order() {
        let (sender, taken) = mpsc::sync_channel(1_000);
        let gatherer = Gatherer::start(Taken(sender), missing).unwrap();
        let threads = [0, 1, 2, 3].map(|thread| {
            let mut gatherer = gatherer.clone();
            std::thread::spawn(move || {
                for n in 0..500 {
                    gatherer.write_all(format!("{thread} {n}\n").as_bytes()).unwrap();
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        gatherer.flush();
        let pieces: Vec<Vec<u8>> = taken.try_iter().collect();
        assert!(pieces.len() < 1_000, "{} pieces for 2,000 lines", pieces.len());
        let text = String::from_utf8(pieces.concat()).unwrap();
        for thread in 0..4 {
            let told = text.lines().filter_map(|line| line.strip_prefix(&format!("{thread} ")));
            let expected = (0..500).map(|n: i32| n.to_string());
            assert!(told.eq(expected), "{text}");
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up_and_tells_later_what_is_missing() {
        let (sender, taken) = mpsc::sync_channel(0);
        let mut gatherer = Gatherer::start(Taken(sender), missing).unwrap();
        let line = [b'x'; 1024 * 1024];
        // One may be on its way out.
        for _ in 0..10 {
            gatherer.write_all(&line).unwrap();
        }
        let (mut size, mut last) = (0, Vec::new());
        while !last.ends_with(b" are missing\n") {
            last = taken.recv_timeout(Duration::from_secs(10)).unwrap();
            size += last.len();
        }
        let missing: usize = String::from_utf8_lossy(&last[last.len() - 30..])
            .trim_start_matches('x')
            .split(' ')
            .next()
            .and_then(|count| count.parse().ok())
            .unwrap();
        let told = format!("{missing} are missing\n").len();
        assert_eq!((size - told) / line.len() + missing, 10);
        assert!(missing >= 2, "{missing}");
    }

    #[test]
    fn the_last_words_are_written_before_a_program_ends() {
        let (sender, taken) = mpsc::sync_channel(10);
        let mut gatherer = Gatherer::start(Taken(sender), missing).unwrap();
        gatherer.write_all(b"the last\n").unwrap();
        gatherer.flush();
        assert_eq!(taken.try_recv().unwrap(), b"the last\n");
    }
}
