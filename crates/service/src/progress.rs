//! A progress line on the terminal, for what takes longer than a second.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nothing is shown, and then how often the elapsed time is updated.
const TICK: Duration = Duration::from_secs(1);

/// Moves the cursor to the start of the line and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Shows on standard error what the program waits for, after the first second and until it is
/// dropped, which clears the line. Shows nothing when standard error is not a terminal that can clear
/// a line.
#[derive(Debug, Default)]
pub struct Progress(Option<Writer>);

#[derive(Debug)]
struct Writer {
    what: Sender<String>,
    thread: JoinHandle<()>,
}

impl Progress {
    /// Starts with what the program waits for.
    pub fn start(what: &str) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if dumb || !io::stderr().is_terminal() {
            return Self(None);
        }
        let (what_now, updates) = channel();
        let what = what.to_owned();
        // Without a thread nothing is shown, which is not an error.
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || draw(what, &updates, TICK, &mut io::stderr()));
        Self(thread.ok().map(|thread| Writer { what: what_now, thread }))
    }

    /// Changes what the program waits for.
    pub fn now(&self, what: &str) {
        if let Some(writer) = &self.0 {
            let _writer_gone = writer.what.send(what.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Writer { what, thread }) = self.0.take() {
            drop(what);
            // The line is cleared before anything else is printed.
            let _panicked = thread.join();
        }
    }
}

/// Draws until the sender is gone.
fn draw(mut what: String, updates: &Receiver<String>, tick: Duration, out: &mut impl Write) {
    let begin = Instant::now();
    let mut drawn = false;
    loop {
        match updates.recv_timeout(tick) {
            Ok(next) => {
                what = next;
                // Update what is shown; show nothing early.
                if !drawn {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        drawn = true;
        let text = format!("{CLEAR}{what} … {} s", begin.elapsed().as_secs());
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
    if drawn {
        let _terminal_gone = out.write_all(CLEAR.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is drawn, sent on as it is.
    struct Screen(Sender<String>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _test_over = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_line_tells_what_is_waited_for_and_is_gone_at_the_end() {
        let ((what, updates), (screen, drawn)) = (channel(), channel());
        let thread = std::thread::spawn(move || {
            draw("one".to_owned(), &updates, Duration::from_millis(1), &mut Screen(screen));
        });
        let first = drawn.recv().unwrap();
        assert!(first.starts_with(&format!("{CLEAR}one … ")), "{first:?}");
        what.send("two".to_owned()).unwrap();
        while !drawn.recv().unwrap().starts_with(&format!("{CLEAR}two … ")) {}
        drop(what);
        thread.join().unwrap();
        assert_eq!(drawn.iter().last().as_deref(), Some(CLEAR));
    }

    #[test]
    fn what_is_over_soon_is_not_mentioned() {
        let (what, updates) = channel();
        what.send("two".to_owned()).unwrap();
        drop(what);
        let mut screen = Vec::new();
        draw("one".to_owned(), &updates, Duration::from_secs(3600), &mut screen);
        assert!(screen.is_empty());
    }

    #[test]
    fn a_program_without_a_terminal_says_nothing() {
        if !io::stderr().is_terminal() {
            let progress = Progress::start("nothing");
            progress.now("still nothing");
            assert!(progress.0.is_none());
        }
    }
}
