//! How much memory the readers of graphs take for each byte of a file: hostile pickles, and the shortest
//! lines of text.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]
#![expect(
    unsafe_code,
    reason = "an allocator that counts can only be written so; it passes everything on to the system's"
)]

use lookalike_data::graph::{self, planetoid};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

/// The system's allocator, which counts what each thread holds now and held at most.
struct Counting;

thread_local! {
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn count(change: impl Fn(usize) -> usize) {
    // A thread that is ending has no counter any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = change(now);
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|now| now.saturating_add(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(|now| now.saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, the most bytes that were held during it beyond those held before, and those held after
/// it.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = HELD.with(|held| {
        held.set((held.get().0, held.get().0));
        held.get().0
    });
    let result = work();
    let (now, most) = HELD.with(Cell::get);
    (result, most - before, now.saturating_sub(before))
}

const MIB: usize = 1 << 20;

/// The piece of a pickle that stands at a position.
type Piece = fn(u32) -> Vec<u8>;

/// The instruction that gives the top of the stack the number `key`.
fn numbered(key: u32) -> Vec<u8> {
    [&b"r"[..], &key.to_le_bytes()].concat()
}

#[test]
fn a_hostile_pickle_takes_memory_in_proportion_to_its_length() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/planetoid");
    let folder = tempfile::tempdir().unwrap();
    for part in ["y", "tx", "ty", "allx", "ally", "test.index"] {
        let file = format!("ind.tiny.{part}");
        fs::copy(fixture.join(&file), folder.path().join(file)).unwrap();
    }
    let long = |at: u32| {
        if at == 0 {
            [&b"T\x00\x10\x00\x00"[..], &[b'm'; 4096], b"\x94"].concat()
        } else {
            b"h\0h\0\x93".to_vec()
        }
    };
    let pieces: [(&str, Piece); 11] = [
        ("lists", |_| b"]".to_vec()),
        ("tuples of one", |at| if at == 0 { b"N".to_vec() } else { b"\x85".to_vec() }),
        ("calls", |_| b"))R".to_vec()),
        ("names", |_| b"c\n\n".to_vec()),
        ("marks", |_| b"(".to_vec()),
        ("`None` in a list", |at| if at == 0 { b"]".to_vec() } else { b"Na".to_vec() }),
        ("entries of a dictionary", |at| if at == 0 { b"}".to_vec() } else { b"NNs".to_vec() }),
        ("numbered values", |key| if key == 0 { b"N".to_vec() } else { numbered(key) }),
        ("values numbered in their order", |at| if at == 0 { b"N".to_vec() } else { b"\x94".to_vec() }),
        ("long names", long),
        ("lists with numbers", |key| [b"]".to_vec(), numbered(key)].concat()),
    ];
    for (what, piece) in pieces {
        let mut pickle = b"\x80\x02".to_vec();
        for at in 0.. {
            pickle.extend(piece(at));
            if pickle.len() >= 4 * MIB {
                break;
            }
        }
        pickle.extend(b"0.");
        fs::write(folder.path().join("ind.tiny.graph"), &pickle).unwrap();
        let (result, most, _) = measured(|| planetoid::open("tiny", folder.path()));
        let bytes = pickle.len();
        assert!(result.is_err(), "{what} were read");
        assert!(most < 32 * bytes + MIB, "{what}: {most} bytes of memory for {bytes} of the file");
    }
}

#[test]
fn a_set_of_graphs_takes_memory_in_proportion_to_the_length_of_its_files() {
    const LINES: usize = 200_000;
    let line = |text: &str| text.repeat(LINES);
    let cases: [(&str, Vec<(&str, String)>); 5] = [
        ("nodes", vec![("_graph_indicator.txt", line("1\n")), ("_A.txt", "\n".to_owned())]),
        ("edges", vec![("_graph_indicator.txt", "1\n1\n".to_owned()), ("_A.txt", line("1,2\n"))]),
        (
            "labels",
            vec![
                ("_graph_indicator.txt", line("1\n")),
                ("_A.txt", "\n".to_owned()),
                ("_node_labels.txt", line("1\n")),
                ("_node_attributes.txt", line("1\n")),
            ],
        ),
        (
            "graphs",
            vec![
                (
                    "_graph_indicator.txt",
                    (1..LINES).fold(String::new(), |text, at| text + &format!("{at}\n")),
                ),
                ("_A.txt", "\n".to_owned()),
            ],
        ),
        ("GIN", vec![(".txt", format!("1\n{LINES} 0\n{}", line("0 0\n")))]),
    ];
    for (what, files) in cases {
        let folder = tempfile::tempdir().unwrap();
        for (end, text) in &files {
            fs::write(folder.path().join(format!("X{end}")), text).unwrap();
        }
        let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
        let ((set, _), most, left) = measured(|| graph::open("X", folder.path()).unwrap());
        assert!(!set.is_empty(), "{what}");
        assert!(most < 20 * bytes + MIB, "{what}: {most} bytes of memory for {bytes}");
        assert!(left < 5 * bytes + MIB, "{what}: {left} bytes of memory left for {bytes}");
    }
}
