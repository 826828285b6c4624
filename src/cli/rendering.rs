//! Long listings: made into text by several threads, printed in order.
//!
//! Invariant: what is printed is what one thread would print, in the same order; a bounded number of
//! items waits.

use super::environment::threads;
use super::failure::Failure;
use super::output::Output;
use crate::ops::in_order::{Answers, Ask, in_order};

/// Items that are made into text at once.
pub(super) const BATCH_ITEMS: usize = 256;
/// Most threads that make text: more than these, and the one that finds the items is what takes time.
const THREADS_MAX: usize = 8;
/// Batches under way, for each thread.
const BATCHES_PER_THREAD: usize = 4;

/// Makes text of the items of a listing.
pub(super) trait Render<T>: Sync {
    /// Appends what is printed for an item.
    ///
    /// # Errors
    ///
    /// The listing ends with this, after what was appended.
    fn render(&self, item: &T, text: &mut Vec<u8>) -> Result<(), Failure>;

    /// Whether a batch is to be handed on before this item, which comes next.
    fn ends_batch(&self, batch: &[T], _next: &T) -> bool {
        batch.len() >= BATCH_ITEMS
    }

    /// Prints what follows the text of the last item of a batch, and is too long to be held.
    ///
    /// # Errors
    ///
    /// The listing ends with this.
    fn print_rest(&self, _last: &T, _output: &mut Output) -> Result<(), Failure> {
        Ok(())
    }
}

impl<T, F: Fn(&T, &mut Vec<u8>) -> Result<(), Failure> + Sync> Render<T> for F {
    fn render(&self, item: &T, text: &mut Vec<u8>) -> Result<(), Failure> {
        self(item, text)
    }
}

/// Takes an item of a listing. Fails once nobody wants more of them: [`print_all`] knows why.
pub(super) type Take<'t, T> = dyn FnMut(T) -> Result<(), Failure> + 't;

/// Prints the items that `list` hands over, in order, as `render` writes them.
///
/// # Errors
///
/// Standard output is closed or full, the user interrupted the command; else that of `render` for the
/// first item that has one, else that of `list`.
pub(super) fn print_all<T: Send>(
    output: &mut Output,
    render: &impl Render<T>,
    list: impl FnOnce(&mut Take<'_, T>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let workers = vec![(); threads().clamp(1, THREADS_MAX)];
    let outstanding_max = workers.len() * BATCHES_PER_THREAD;
    let questions = |ask: &mut Ask<'_, Vec<T>>| {
        let mut batch = Vec::new();
        let listed = list(&mut |item| {
            if render.ends_batch(&batch, &item) && !ask(std::mem::take(&mut batch)) {
                return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
            }
            batch.push(item);
            Ok(())
        });
        if !batch.is_empty() {
            ask(batch);
        }
        listed
    };
    let answer = |(): &mut (), mut batch: Vec<T>| {
        let mut text = Vec::new();
        let failed = batch.iter().find_map(|item| render.render(item, &mut text).err());
        Answer { text, last: batch.pop().filter(|_| failed.is_none()), failed }
    };
    in_order(workers, outstanding_max, questions, answer, &mut Printer { output, render })?;
    Ok(())
}

struct Answer<T> {
    text: Vec<u8>,
    last: Option<T>,
    failed: Option<Failure>,
}

struct Printer<'o, R> {
    output: &'o mut Output,
    render: &'o R,
}

impl<T: Send, R: Render<T>> Answers<Answer<T>> for Printer<'_, R> {
    type Error = Failure;

    fn take(&mut self, answer: Answer<T>) -> Result<(), Failure> {
        self.output.rendered(&answer.text)?;
        if let Some(failed) = answer.failed {
            return Err(failed);
        }
        answer.last.map_or(Ok(()), |last| self.render.print_rest(&last, self.output))
    }

    fn pause(&mut self) -> Result<(), Failure> {
        Ok(self.output.flush()?)
    }
}
