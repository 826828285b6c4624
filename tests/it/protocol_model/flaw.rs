//! The rules of the protocol, each as the flaw of leaving it out.
//!
//! Invariant: every flaw breaks a promise in some schedule, or its rule would be idle.

macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A rule of the protocol that is left out.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub(super) enum Flaw {
            #[default]
            None,
            $($(#[$doc])* $name,)*
        }

        pub(super) const FLAWS: &[Flaw] = &[$(Flaw::$name),*];
    };
}

flaws! {
    /// A session reads the generation before it is created.
    GenerationBeforeSession,
    /// A session reads the index, and only then the generation.
    IndexBeforeGeneration,
    /// A condemned pack is a deduplication hit.
    CondemnedHit,
    /// A condemned loose object is a success on EEXIST.
    CondemnedLooseAccepted,
    /// Prune lists sessions before it publishes the generation.
    SessionsBeforeGeneration,
    /// Prune neither waits nor fences.
    NoWait,
    /// Prune does not mark again when the sessions are over.
    NoSecondMark,
    /// Prune's second mark keeps what jobs reach, not what newly stored records refer to.
    RootsAreJobsOnly,
    /// A fenced session publishes its job.
    JobAfterFence,
    /// A fenced session publishes index segments and loose objects.
    SegmentAfterFence,
    /// Prune does not wait for publications that are under way when the sessions are over.
    NoBarrier,
    /// Prune waits for such publications only where it has fenced a session itself.
    BarrierAfterFenceOnly,
    /// Prune leaves the file of a dead program's session where it is.
    DeadSessionLeft,
    /// Publication does not look whether the session stands that this one leans on.
    OuterNotLookedAt,
    /// A session takes the generation of one that is over, and goes on without it.
    OuterGenerationAlone,
    /// A session that leans on another publishes its job without the publication lock.
    LeaningJobUnlocked,
    /// Prune removes generations before the sessions are over that have read them.
    GenerationRemovedEarly,
    /// Prune does not mark what refs lead to.
    RefsAreNoRoots,
    /// A fenced session publishes a table of refs.
    RefAfterFence,
    /// update-ref does not check the closure.
    RefUnchecked,
    /// A table of refs whose number was taken is published under the next one as it is.
    TableNotReadAgain,
    /// Prune deletes before the table of refs is durable that it has read.
    RefsNotSynced,
    /// Prune removes old tables of refs before the one is durable that counts.
    TablesRemovedUnsynced,
    /// Prune removes tables of refs that were the newest when it listed the sessions.
    TablesRemovedTooFar,
    /// write-snapshot does not check the closure.
    SnapshotUnchecked,
    /// A repair looks for what it publishes again before it has a session, and does not check the closure in it.
    RepairUnchecked,
    /// A repair publishes a state though a newer one has come since it looked.
    RepairOvertaken,
    /// mktree does not check what its tree refers to.
    MktreeUnchecked,
    /// A segment is published before the packs that its objects refer to.
    IndexBeforePacks,
    /// A segment is published before its packs are durable.
    PacksNotSynced,
    /// A job is published before the index is durable.
    JobBeforeIndexDurable,
    /// What another process has published is relied on before it is durable.
    HitTakenForDurable,
    /// The condemned list is dropped before what it names is deleted.
    ListDroppedEarly,
    /// The condemned list is dropped before the deletions are durable.
    ListDroppedUnsynced,
    /// A pack's name follows from its content alone.
    PackNameRecurs,
    /// Prune acts on a forgotten job that can still be undone.
    ForgottenNotSealed,
    /// Prune deletes before it is durable that forgotten jobs are sealed.
    SealNotSynced,
    /// A kept pack may hold dead trees and lists whose references are condemned.
    DeadReferrerKept,
    /// Prune takes a delta for a sufficient copy of a base.
    DeltaIsBase,
    /// Prune of a full disk deletes everything before the index without it is there.
    FullDeletesAll,
    /// Prune does not condemn anew what a prune of a full disk has deleted and left in the index.
    GoneNotCondemned,
    /// Prune removes the marks of jobs whose removal is not durable.
    JobsRemovedUnsynced,
    /// Prune removes the last job, whose number is then given again.
    LastJobRemoved,
    /// Prune deletes packs before the index without their entries is durable.
    UnindexingNotSynced,
    /// Prune deletes before the copies it relies on are durable.
    RelianceNotSynced,
    /// Prune replaces the list of a killed prune before the deletions of that one are durable.
    RemainsNotSynced,
    /// Prune deletes before the generation is durable.
    GenerationNotSynced,
    /// A merge of index segments runs beside a prune.
    MergeWithoutLock,
    /// A merge removes the old segments before the merged one is there.
    MergeRemovesFirst,
    /// Of several index segments, a rewritten one takes the place of one after the other.
    ReplacedPiecemeal,
    /// A merged segment does not take the place of what its parts have replaced.
    ReplacedForgotten,
    /// A merge removes the old segments before the merged one is durable.
    MergeNotSynced,
    /// A fenced reader that misses a chunk does not look up the list again.
    ListNotReadAgain,
    /// A second prune does not exit.
    TwoPrunes,
    /// Prune believes an empty list of jobs beside existing packs.
    EmptyJobListAccepted,
}
