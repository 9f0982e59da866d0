//! The same done to the same cluster while all its pods answer and while one of them hangs, in turn, so that a slower
//! minute of the machine is both sides'.

use anyhow::{Context, Result};

use crate::changes::{self, Edit};
use crate::hang::Hanging;
use crate::subject::Subject;

/// So many measurements of one side before the other has its turn.
const ROUND: usize = 10;

/// How many of each are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub edits: usize,
    /// Edits that follow another one at once.
    pub soon: usize,
    pub revocations: usize,
    /// Of the user to each node, before it is revoked.
    pub sessions: usize,
}

/// What one side has shown.
#[derive(Default)]
pub struct Side {
    pub edits: Vec<Edit>,
    pub soon: Vec<Edit>,
    pub revocations: Vec<f64>,
}

/// Both.
#[derive(Default)]
pub struct Sides {
    pub answering: Side,
    /// Of the nodes that answer while one hangs.
    pub hanging: Side,
    /// Edits until now, of both.
    number: usize,
}

impl Side {
    fn is_complete(&self, counts: Counts) -> bool {
        self.edits.len() >= counts.edits
            && self.soon.len() >= counts.soon
            && self.revocations.len() >= counts.revocations
    }
}

impl Sides {
    /// Measures until there are enough of each.
    pub async fn measure(&mut self, subject: &mut Subject, counts: Counts, hang: bool) -> Result<()> {
        while !self.answering.is_complete(counts) || (hang && !self.hanging.is_complete(counts)) {
            round(subject, None, (&mut self.answering, counts), &mut self.number)
                .await
                .context("while all pods answer")?;
            if hang && !self.hanging.is_complete(counts) {
                let hanging = subject.hang().await?;
                round(subject, Some(&hanging), (&mut self.hanging, counts), &mut self.number)
                    .await
                    .with_context(|| format!("while {} hangs", hanging.pod))?;
                drop(hanging);
                subject.settle(None).await?;
            }
        }
        Ok(())
    }
}

async fn round(
    subject: &mut Subject,
    hanging: Option<&Hanging>,
    (side, counts): (&mut Side, Counts),
    number: &mut usize,
) -> Result<()> {
    let who = hanging.map_or("all answer".to_owned(), |hanging| format!("{} hangs", hanging.pod));
    for _ in 0..ROUND {
        if side.is_complete(counts) || hanging.is_some_and(Hanging::is_over) {
            break;
        }
        if side.edits.len() < counts.edits {
            side.edits.push(changes::edit(subject, hanging, *number).await?);
        } else if side.soon.len() < counts.soon {
            side.soon.push(changes::edit_after_another(subject, hanging, *number).await?);
        } else {
            let which = (counts.sessions, side.revocations.len());
            side.revocations.push(changes::revoke(subject, hanging, which).await?);
        }
        *number += 1;
        subject.settle(hanging).await?;
    }
    let (edits, soon, revocations) = (side.edits.len(), side.soon.len(), side.revocations.len());
    eprintln!("  {who}: {edits} edits, {soon} soon after another, {revocations} revocations");
    Ok(())
}
