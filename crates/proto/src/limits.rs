//! Every limit of the system, with its name and its unit, on one page.
//!
//! What a peer sends beyond a limit closes its link; what a user asks beyond one is refused with the limit's name.

use crate::time::Span;

// Names and texts.

/// Bytes of a name of a site, process or project; fits a DNS label with room.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a host's name; POSIX's `HOST_NAME_MAX`, and more than DNS allows.
pub const HOST_BYTES_MAX: usize = 255;
/// Bytes of a relative path; half of Linux's `PATH_MAX`, so that a state directory fits before it.
pub const PATH_BYTES_MAX: usize = 2_048;
/// Bytes of one component of a file's name: `NAME_MAX` of Linux. A longer one is on no disk, and no disk is to blame.
pub const PART_BYTES_MAX: usize = 255;
/// Bytes of one task's words (program and arguments); Linux's own limit for a single argument is 128 KiB.
pub const WORDS_BYTES_MAX: usize = 128 << 10;
/// Bytes of one environment entry's name or value, and of one sentence for people.
pub const TEXT_BYTES_MAX: usize = 32 << 10;

// One task.

/// Input or output files of one task or template.
pub const FILES_PER_TASK_MAX: usize = 4_096;
/// Environment entries of one template.
pub const ENVIRONMENT_MAX: usize = 1_024;
/// Preferred hosts of one template.
pub const PREFERRED_MAX: usize = 64;
/// Bytes of the end of stdout or stderr that travel in an outcome; longer streams travel as files.
pub const TAIL_BYTES_MAX: usize = 4 << 10;
/// Bytes of stdout or stderr after which a task is ended.
pub const STREAM_BYTES_MAX: u64 = 1 << 30;
/// Bytes of outputs after which an attempt fails.
pub const OUTPUT_BYTES_MAX: u64 = 1 << 40;
/// Bytes of one file, input or output; sums of as many files as there ever are stay far below 2^64.
pub const FILE_BYTES_MAX: u64 = OUTPUT_BYTES_MAX;
/// Losses (worker gone, link lost, ...) after which a task is given up: it has had its chances.
pub const LOSSES_PER_TASK_MAX: u32 = 100;

// Frames and links.

/// Files and directories in a task's sandbox, beyond which it is ended: removing a million takes seconds.
pub const SANDBOX_FILES_MAX: u64 = 1 << 20;
/// Bytes of one frame's payload: about 10 000 small tasks; bounds what a reader ever holds for a link.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of one task's body, one template or one report, so that any fits a frame with what is around it.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - (64 << 10);
/// Elements of any sequence in a frame.
pub const BATCH_MAX: usize = 4_096;
/// Bytes waiting to be sent on one link before the link is closed as too slow.
pub const LINK_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Templates a subordinate keeps per master.
pub const TEMPLATES_PER_MASTER_MAX: usize = 65_536;
/// Kinds of worker shape in an offer; more are folded into the nearest smaller one.
pub const SHAPES_MAX: usize = 256;
/// Workers of one shape in an offer; fifty times the subordinates of one superior, for foremen of foremen.
pub const WORKERS_PER_SHAPE_MAX: u32 = 1_000_000;
/// Subordinates of one superior.
pub const CHILDREN_MAX: usize = 20_000;
/// Inputs one process takes from its links before it flushes: one turn of the loop.
pub const INPUTS_PER_TURN_MAX: usize = 256;
/// Digests asked for in one bulk request.
pub const DIGESTS_PER_REQUEST_MAX: usize = 1_024;
/// Runs of groups asked for in one bulk request; what is missing of some contents has few gaps.
pub const PARTS_PER_REQUEST_MAX: usize = 64;

// Leases.

/// Work a child may hold beyond what it can run at once: long enough to cover any round trip,
/// short enough that another child never waits long for it.
pub const HOARD: Span = Span::secs(2);
/// Leases beyond the running ones, per slot, however short the tasks.
pub const HOARD_PER_SLOT_MAX: u32 = 8_192;
/// Leases of one child in all.
pub const LEASES_PER_CHILD_MAX: u32 = 65_536;
/// Placements of one call of the scheduler.
pub const PLACEMENTS_PER_CALL_MAX: usize = 4_096;
/// How long a report waits for company while there is other work in hand: at thousands of tasks a second it saves
/// most frames, packets and commits; a superior with a hoard below it does not miss it.
pub const LINGER: Span = Span::millis(5);
/// Reports that make the wait longer if they have gathered within [`LINGER`]: 800 a second.
pub const COMPANY_MIN: usize = 4;
/// The longer wait: a quarter of the commits and packets that [`LINGER`] would cost each hop; decision 0004 has the figures.
pub const LINGER_MAX: Span = Span::millis(20);
/// When a master gives a file up that nothing refers to: longer than a user takes from learning that the file is
/// there to submitting a task that needs it.
pub const UNNEEDED_GRACE: Span = Span::secs(60);
/// When a lost worker's tasks are leased again: it may only be changing networks.
pub const WORKER_GRACE: Span = Span::secs(15);
/// When a lost foreman's tasks are leased again (F5): its workers go on meanwhile.
pub const FOREMAN_GRACE: Span = Span::secs(60);
/// When a restarted foreman calls its inventory complete (F4): its workers are back by then.
pub const SETTLE: Span = Span::secs(10);
/// Runs of one worker at the same time, whatever they ask for.
pub const RUNS_MAX: usize = 1_024;
/// Results a foreman or worker keeps for a superior that is away.
pub const RESULTS_HELD_MAX: usize = 1_000_000;

// Users.

/// Outcomes under way to one watcher, not yet acknowledged by it.
pub const OUTCOMES_OUT_MAX: usize = 8_192;
/// Ranges of tasks in one watch or cancellation.
pub const RANGES_MAX: usize = 4_096;
/// Submitting sessions a master remembers, to answer a repeated submit.
pub const SESSIONS_MAX: usize = 4_096;
/// Happenings a master remembers for `explain`.
pub const STORY_MAX: usize = 65_536;
/// Questions that a master or foreman has handed down and not answered.
pub const INQUIRIES_MAX: usize = 64;
/// Rows that are gathered for one of them.
pub const INQUIRY_ROWS_MAX: usize = 4096;
/// Notes of one foreman that are handed on to those above: what keeps it from working, not its log.
pub const NOTES_PER_SITE_MAX: usize = 8;
/// Notes of all foremen in one status; with [`EXPLAINED_BYTES_MAX`] of each, 64 KiB.
pub const NOTES_MAX: usize = 64;
/// How long those below may take to answer one; people wait for it.
pub const INQUIRY_WAIT: Span = Span::millis(500);
/// Sentences of one answer to `explain`.
pub const EXPLAINED_MAX: usize = 512;
/// Bytes of one of these, so that they fit a frame.
pub const EXPLAINED_BYTES_MAX: usize = 1 << 10;

// The catalog.

/// Addresses of one process.
pub const ADDRESSES_MAX: usize = 8;
/// Bytes of one address; a host's name and a port.
pub const ADDRESS_BYTES_MAX: usize = HOST_BYTES_MAX + 6;
/// Bytes of the name of a setting or a revoked identity; three names and what joins them.
pub const REGISTERED_NAME_BYTES_MAX: usize = 3 * (NAME_BYTES_MAX + 1);
/// Bytes of one setting.
pub const SETTING_BYTES_MAX: usize = 16 << 10;
/// The shortest lease: a few elections long, so that no change of leaders costs anyone a name.
pub const LEASE_MIN: Span = Span::secs(10);
/// The longest lease; ten years, for invitations and the like.
pub const LEASE_MAX: Span = Span::secs(10 * 365 * 86_400);
/// Items of one kind: five times the projects that a list must show in 50 ms.
pub const ITEMS_PER_KIND_MAX: usize = 50_000;
/// Bytes of all items: with its sessions and the entries beside it a snapshot fits one record of the journal, 16 MiB.
pub const DIRECTORY_BYTES_MAX: u64 = 11 << 20;
/// Clients whose last command is remembered, so that a repeated one is applied once; the least recent is forgotten.
pub const CATALOG_SESSIONS_MAX: usize = 4_096;
/// Sessions of one client among these: commands that it may have under way at the same time.
pub const SESSIONS_PER_CLIENT_MAX: usize = 256;
/// Changes that are kept for watchers: two seconds of the registrations that the catalog is held to.
pub const CHANGES_KEPT_MAX: usize = 4_096;
/// Items of one page of a list, or changes of one answer to a watch.
pub const PAGE_ITEMS_MAX: usize = 1_024;
/// Bytes of one page, so that it fits a frame with the item that went beyond.
pub const PAGE_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;
/// Questions, commands and watches under way at one replica.
pub const ASKS_MAX: usize = 16_384;
/// The longest that one of them may wait for its answer.
pub const ASK_WAIT_MAX: Span = Span::secs(60);
/// Replicas, voting or not: five, as many again that replace them, and one.
pub const MEMBERS_MAX: usize = 11;
/// Entries between two comparisons of the replicas' states (C7).
pub const CHECK_ENTRIES: u64 = 1_000;
/// Bytes of one message's entries beyond its first.
pub const APPEND_BYTES_MAX: usize = 256 << 10;
/// Messages with entries under way to one replica.
pub const APPENDS_OUT_MAX: usize = 32;
/// Bytes that a leader has proposed and that are not committed: all that may be under way to a replica.
pub const UNCOMMITTED_BYTES_MAX: usize = APPENDS_OUT_MAX * APPEND_BYTES_MAX;
/// Bytes of one piece of a snapshot.
pub const SNAPSHOT_PART_BYTES: usize = 256 << 10;
/// Bytes of a snapshot: the items, twice as many sessions as there are at the length of a long reply, and some.
pub const SNAPSHOT_BYTES_MAX: u64 = DIRECTORY_BYTES_MAX + (3 << 20);

const _: () = assert!(
    2 * APPEND_BYTES_MAX < FRAME_BYTES_MAX && SNAPSHOT_PART_BYTES < FRAME_BYTES_MAX / 2,
    "a message between replicas always fits a frame"
);
const _: () = assert!(
    WORDS_BYTES_MAX + 2 * TAIL_BYTES_MAX < FRAME_BYTES_MAX,
    "one task or report always fits a frame"
);
