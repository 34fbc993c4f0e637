//! What was said before in the thread: what “the second one” and “them” point at.

use crate::request::Message;

/// How the daemon marks what another agent wrote.
const OTHER_AGENT: &str = "[from the agent ";

/// Earlier messages, the newest first.
pub(super) struct Thread<'a> {
    /// Of the agents.
    pub(super) replies: Vec<&'a str>,
    /// Of the person.
    pub(super) asked: Vec<&'a str>,
}

impl<'a> Thread<'a> {
    pub(super) fn new(earlier: &'a [Message]) -> Self {
        let mut thread = Self { replies: Vec::new(), asked: Vec::new() };
        for message in earlier.iter().rev() {
            match message {
                Message::Assistant(turn) if !turn.text.is_empty() => {
                    thread.replies.push(&turn.text)
                }
                Message::User { content, .. } if content.starts_with(OTHER_AGENT) => {
                    thread.replies.push(content);
                }
                Message::User { content, .. } => thread.asked.push(content),
                Message::Assistant(_) | Message::System { .. } | Message::Tool { .. } => {}
            }
        }
        thread
    }

    /// The schools that the newest reply with so many names, in its order.
    pub(super) fn schools(&self, least: usize) -> Vec<String> {
        self.newest(least, |reply| between(reply, "**", "**"))
    }

    /// The schools that the newest of all replies names.
    pub(super) fn schools_at_hand(&self) -> Vec<String> {
        self.replies.first().map(|reply| between(reply, "**", "**")).unwrap_or_default()
    }

    /// Whether the newest reply asks this.
    pub(super) fn was_asked(&self, question: &str) -> bool {
        self.replies.first().is_some_and(|reply| reply.contains(question))
    }

    /// The titles that the newest reply with any quotes, in its order.
    pub(super) fn titles(&self) -> Vec<String> {
        self.newest(1, |reply| {
            let lines = reply.lines().filter(|line| line.contains(". “") || line.contains("task"));
            lines.flat_map(|line| between(line, "“", "”")).collect()
        })
    }

    fn newest(&self, least: usize, read: impl Fn(&str) -> Vec<String>) -> Vec<String> {
        let distinct = |reply: &&str| {
            let mut found: Vec<String> = Vec::new();
            for name in read(reply) {
                if !found.contains(&name) {
                    found.push(name);
                }
            }
            found
        };
        let all = self.replies.iter().map(distinct);
        all.into_iter().find(|found| found.len() >= least.max(1)).unwrap_or_default()
    }
}

fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((inside, after)) = after.split_once(close) else { break };
        if !inside.contains('\n') {
            found.push(inside.to_owned());
        }
        rest = after;
    }
    found
}
