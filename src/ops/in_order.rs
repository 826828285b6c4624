//! Many questions answered by several threads, the answers in the order of the questions.
//!
//! Invariant: at most a stated number of questions is under way, and an answer waits for nothing but
//! the questions before it.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Most questions of one object each that were asked and not answered yet.
pub const OUTSTANDING_MAX: usize = 512;
/// How long an answer is waited for before those taken are handed on.
const PATIENCE: Duration = Duration::from_micros(500);

/// What happens to the answers.
pub trait Answers<A>: Send {
    /// Why no more answers are wanted.
    type Error: Send;

    /// Takes the next answer.
    ///
    /// # Errors
    ///
    /// It cannot be taken: the rest is given up.
    fn take(&mut self, answer: A) -> Result<(), Self::Error>;

    /// There may be a while before the next answer: hand on those taken so far.
    ///
    /// # Errors
    ///
    /// As [`Answers::take`].
    fn pause(&mut self) -> Result<(), Self::Error>;
}

/// Asks questions: false once no more are wanted.
pub type Ask<'a, Q> = dyn FnMut(Q) -> bool + 'a;

/// Runs `questions` on this thread, `answer` on one thread for each of `workers`, and hands the
/// answers to `answers` in order. Returns the workers. At most `outstanding_max` questions were asked
/// and not answered.
///
/// # Errors
///
/// That of `answers`, which ends everything early; else that of `questions`.
pub fn in_order<Q: Send, A: Send, W: Send, E: Send>(
    workers: Vec<W>,
    outstanding_max: usize,
    questions: impl FnOnce(&mut Ask<'_, Q>) -> Result<(), E>,
    answer: impl Fn(&mut W, Q) -> A + Sync,
    answers: &mut (impl Answers<A, Error = E> + ?Sized),
) -> Result<Vec<W>, E> {
    let (ask, asked) = bounded::<(Q, Sender<A>)>(outstanding_max);
    let (promise, promised) = bounded::<Receiver<A>>(outstanding_max);
    let answer = &answer;
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                let asked = asked.clone();
                scope.spawn(move || {
                    for (question, reply) in asked {
                        // Nobody waits for the answer once the answers have ended.
                        let _unwanted = reply.send(answer(&mut worker, question));
                    }
                    worker
                })
            })
            .collect();
        drop(asked);
        let taker = scope.spawn(move || take_all(&promised, answers));
        let asked = questions(&mut |question| {
            let (reply, receiver) = bounded(1);
            promise.send(receiver).is_ok() && ask.send((question, reply)).is_ok()
        });
        drop((ask, promise));
        let taken = join(taker);
        let workers = threads.into_iter().map(join).collect();
        taken.and(asked).map(|()| workers)
    })
}

fn take_all<A, E>(
    promised: &Receiver<Receiver<A>>,
    answers: &mut (impl Answers<A, Error = E> + ?Sized),
) -> Result<(), E> {
    while let Some(reply) = next(promised, answers)? {
        if let Some(answer) = next(&reply, answers)? {
            answers.take(answer)?;
        }
    }
    answers.pause()
}

/// The next item, after a pause if it is not there yet; `None` at the end.
fn next<T, A, E>(
    receiver: &Receiver<T>,
    answers: &mut (impl Answers<A, Error = E> + ?Sized),
) -> Result<Option<T>, E> {
    match receiver.recv_timeout(PATIENCE) {
        Ok(item) => return Ok(Some(item)),
        Err(RecvTimeoutError::Disconnected) => return Ok(None),
        Err(RecvTimeoutError::Timeout) => {}
    }
    answers.pause()?;
    Ok(receiver.recv().ok())
}

fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> T {
    match handle.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept {
        answers: Vec<u64>,
        stop_at: Option<usize>,
        pauses: usize,
    }

    impl Answers<u64> for Kept {
        type Error = &'static str;

        fn take(&mut self, answer: u64) -> Result<(), &'static str> {
            if self.stop_at == Some(self.answers.len()) {
                return Err("enough");
            }
            self.answers.push(answer);
            Ok(())
        }

        fn pause(&mut self) -> Result<(), &'static str> {
            self.pauses += 1;
            Ok(())
        }
    }

    fn square(kept: &mut Kept, count: u64) -> Result<Vec<u64>, &'static str> {
        let questions = |ask: &mut Ask<'_, u64>| {
            (0..count).take_while(|number| ask(*number)).for_each(drop);
            Ok(())
        };
        let answer = |asked: &mut u64, number: u64| {
            *asked += 1;
            std::thread::sleep(Duration::from_micros(number * 7919 % 100));
            number * number
        };
        in_order(vec![0; 5], OUTSTANDING_MAX, questions, answer, kept)
    }

    #[test]
    fn answers_come_in_the_order_of_their_questions() {
        let mut kept = Kept::default();
        let asked = square(&mut kept, 3_000);
        assert_eq!(asked.map(|asked| asked.iter().sum()), Ok(3_000));
        assert!(kept.answers.iter().copied().eq((0..3_000).map(|number| number * number)));
        assert!(kept.pauses > 0);
    }

    #[test]
    fn whoever_takes_the_answers_may_end_it() {
        let mut kept = Kept { stop_at: Some(10), ..Kept::default() };
        assert_eq!(square(&mut kept, 100_000), Err("enough"));
        assert_eq!(kept.answers.len(), 10);
    }
}
