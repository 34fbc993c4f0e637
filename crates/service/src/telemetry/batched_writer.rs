//! Log lines are collected for a few milliseconds and written as one batch: under load a line costs
//! its program a copy, not a system call and a wake-up of whatever reads the log.
//!
//! A program that is killed loses the lines of the last [`BATCH_DELAY`]. When the log is not read,
//! no thread blocks on it: lines beyond [`MAX_PENDING_BYTES`] are dropped and counted, and the count
//! is written as soon as the log is read again.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long lines are collected before a batch is written.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// A batch of this many bytes is written without delay.
const BATCH_BYTES: usize = 64 * 1024;

/// The most bytes that wait to be written; lines beyond are dropped.
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// The timeout of [`BatchedWriter::flush`], for a log that is not read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines; a thread writes them. Clones share one buffer.
#[derive(Debug, Clone)]
pub(super) struct BatchedWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signals the first pending line, a full batch, a flush, or a finished write.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    dropped: u64,
    is_writing: bool,
    /// A flush waits until everything is written.
    flush_requested: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next batch; returns it and the number of lines dropped after it. `empty` becomes
    /// the new buffer.
    fn next(&self, mut empty: Vec<u8>) -> (Vec<u8>, u64) {
        let state = self.lock();
        let state = self.changed.wait_while(state, |state| state.pending.is_empty());
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let incomplete =
            |state: &mut State| state.pending.len() < BATCH_BYTES && !state.flush_requested;
        let batched = self.changed.wait_timeout_while(state, BATCH_DELAY, incomplete);
        let (mut state, _) = batched.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.pending, &mut empty);
        state.is_writing = true;
        (empty, std::mem::take(&mut state.dropped))
    }

    fn written(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }
}

impl BatchedWriter {
    /// Starts the thread that writes to `out`; `missing` formats the line that reports dropped ones.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        mut out: impl Write + Send + 'static,
        missing: fn(u64) -> String,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer_side = Arc::clone(&shared);
        // It ends with the process.
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            let mut buffer = Vec::new();
            loop {
                let (mut lines, dropped) = writer_side.next(std::mem::take(&mut buffer));
                if dropped > 0 {
                    lines.extend_from_slice(missing(dropped).as_bytes());
                }
                // There is nowhere to report a log that cannot be written.
                let _ = out.write_all(&lines).and_then(|()| out.flush());
                lines.clear();
                lines.shrink_to(BATCH_BYTES);
                buffer = lines;
                writer_side.written();
            }
        })?;
        Ok(Self(shared))
    }

    /// Waits until every pending line is written, at most [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) {
        let mut state = self.0.lock();
        state.flush_requested = true;
        self.0.changed.notify_all();
        let busy = |state: &mut State| state.is_writing || !state.pending.is_empty();
        let done = self.0.changed.wait_timeout_while(state, FLUSH_TIMEOUT, busy);
        let (mut state, _) = done.unwrap_or_else(PoisonError::into_inner);
        state.flush_requested = false;
    }
}

impl Write for BatchedWriter {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        let before = state.pending.len();
        let after = before + line.len();
        if after > MAX_PENDING_BYTES {
            state.dropped += 1;
            return Ok(line.len());
        }
        state.pending.extend_from_slice(line);
        drop(state);
        if before == 0 || (before < BATCH_BYTES && after >= BATCH_BYTES) {
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
        let writer = BatchedWriter::start(Taken(sender), missing).unwrap();
        let threads = [0, 1, 2, 3].map(|thread| {
            let mut writer = writer.clone();
            std::thread::spawn(move || {
                for n in 0..500 {
                    writer.write_all(format!("{thread} {n}\n").as_bytes()).unwrap();
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        writer.flush();
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
        let mut writer = BatchedWriter::start(Taken(sender), missing).unwrap();
        let line = [b'x'; 1024 * 1024];
        // One may be on its way out.
        for _ in 0..10 {
            writer.write_all(&line).unwrap();
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
        let mut writer = BatchedWriter::start(Taken(sender), missing).unwrap();
        writer.write_all(b"the last\n").unwrap();
        writer.flush();
        assert_eq!(taken.try_recv().unwrap(), b"the last\n");
    }
}
