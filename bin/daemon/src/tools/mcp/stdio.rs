//! The lines of an MCP server's program: each is bounded and repaired before the protocol reads it.

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use super::message::{MAX_MESSAGE_BYTES, id_of, readable, refusal, too_long};

/// How much of a line that is too long is kept, to find its id.
const HEAD: usize = 4 * 1024;

/// What was read.
enum Line {
    Whole,
    TooLong,
    End,
}

/// Passes on each line until one side ends. A line that is not read is answered by an error.
pub(super) async fn relay(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = match read_line(&mut from, &mut line).await {
            Ok(Line::Whole) => readable(&line),
            Ok(Line::TooLong) => Err(too_long()),
            Ok(Line::End) | Err(_) => return,
        };
        let refused = match &read {
            Ok(_) => None,
            Err(why) => {
                tracing::warn!("a message of an MCP server was skipped: {why}");
                // Without an id nobody waits for it.
                let Some(id) = id_of(&line) else { continue };
                Some(refusal(&id, why).to_string())
            }
        };
        let text = match (&read, &refused) {
            (_, Some(refused)) => refused.as_bytes(),
            (Ok(text), None) => text.as_ref(),
            (Err(_), None) => continue,
        };
        if to.write_all(text).await.is_err() || to.write_all(b"\n").await.is_err() {
            return;
        }
    }
}

/// Reads to the end of the line, which is left out. Of a line that is too long only the beginning is
/// kept.
async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<Line> {
    let mut is_long = false;
    loop {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            // What has no end is no message.
            return Ok(Line::End);
        }
        let end = memchr::memchr(b'\n', available);
        let part = &available[..end.unwrap_or(available.len())];
        if !is_long && line.len() + part.len() > MAX_MESSAGE_BYTES {
            is_long = true;
            line.truncate(HEAD);
            line.shrink_to(HEAD);
        }
        if !is_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(if is_long { Line::TooLong } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_line_that_is_not_read_is_answered_by_an_error_and_the_next_one_is_read() {
        let long = format!("{{\"id\":7,\"result\":\"{}\"}}", "x".repeat(MAX_MESSAGE_BYTES));
        let many = format!("{{\"result\":[{}0],\"id\":\"a\"}}", "0,".repeat(300_000));
        let lines = format!("{long}\n{many}\n{{\"id\":8}}\n{{\"no end\"");
        let (mut to, mut out) = (Vec::new(), Vec::new());
        relay(lines.as_bytes(), &mut to).await;
        to.as_slice().read_to_end(&mut out).await.unwrap();
        let read: Vec<Value> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read.len(), 3);
        assert_eq!(
            (&read[0]["id"], &read[1]["id"], &read[2]),
            (&json!(7), &json!("a"), &json!({ "id": 8 }))
        );
        assert!(read[0]["error"]["message"].as_str().unwrap().contains("16 MiB"), "{}", read[0]);
        assert!(
            read[1]["error"]["message"].as_str().unwrap().contains("200000 values"),
            "{}",
            read[1]
        );
    }
}
