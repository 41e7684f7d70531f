use super::*;

fn refusal(bytes: &[u8]) -> String {
    Pickle::read(bytes)
        .err()
        .map_or_else(|| "it was read".to_owned(), |(at, problem)| format!("{at}: {problem}"))
}

#[test]
fn lists_of_neighbors_are_read_as_python_writes_them() {
    // pickle.dumps({0: [1, 300], 1: []}, 2)
    let bytes = b"\x80\x02}q\x00(K\x00]q\x01(K\x01M,\x01eK\x01]q\x02u.";
    let pickle = Pickle::read(bytes).unwrap();
    let items = pickle.dict(pickle.root).unwrap();
    assert_eq!((items[0].0.int(), items[1].0.int()), (Some(0), Some(1)));
    assert_eq!(pickle.list(items[0].1).unwrap(), [Value::Int(1), Value::Int(300)]);
    assert_eq!(pickle.list(items[1].1).unwrap(), []);
}

/// A node and its empty list in the fewest bytes that a pickle can have, for nodes of up to 16 bits.
#[test]
fn the_shortest_pickle_of_many_nodes_is_within_the_limits() {
    let mut bytes = b"\x80\x02}".to_vec();
    for piece in (0..60_000_u16).collect::<Vec<_>>().chunks(1000) {
        bytes.push(b'(');
        for node in piece {
            match u8::try_from(*node) {
                Ok(node) => bytes.extend([b'K', node]),
                Err(_) => bytes.extend([&b"M"[..], &node.to_le_bytes()].concat()),
            }
            bytes.push(b']');
        }
        bytes.push(b'u');
    }
    bytes.push(b'.');
    let pickle = Pickle::read(&bytes).unwrap();
    assert_eq!(pickle.dict(pickle.root).unwrap().len(), 60_000);
    // All edges among 200 nodes, two bytes each.
    let mut bytes = b"\x80\x02}(".to_vec();
    for node in 0..200 {
        bytes.extend([b'K', node, b']', b'(']);
        (0..200).for_each(|to| bytes.extend([b'K', to]));
        bytes.push(b'e');
    }
    bytes.extend(b"u.");
    let pickle = Pickle::read(&bytes).unwrap();
    assert_eq!(pickle.dict(pickle.root).unwrap().len(), 200);
}

#[test]
fn a_pickle_that_describes_more_than_its_length_allows_is_refused() {
    let repeated = |piece: &[u8]| [b"\x80\x02".as_slice(), &piece.repeat((1 << 20) + 1)].concat();
    for (piece, wanted) in [
        (&b"]"[..], "263170: more lists, tuples and strings than a file of 1048579 bytes should hold"),
        (b")", "263170: more lists, tuples and strings"),
        (b"N", "525315: more values than a file of 1048579 bytes should hold"),
        (b"(", "1026: values are nested more than 1024 deep"),
        (b"U\0", "1050628: more lists, tuples and strings"),
        (b"K\0", "2097154: more than 1048576 values are on the stack"),
    ] {
        let message = refusal(&repeated(piece));
        assert!(message.starts_with(wanted), "{message}");
    }
}

#[test]
fn what_an_error_says_of_a_value_does_not_grow_with_it() {
    let bytes = [&b"\x80\x02X\x00\x00\x10\x00"[..], &b"x".repeat(1 << 20), b"."].concat();
    let pickle = Pickle::read(&bytes).unwrap();
    assert_eq!(pickle.describe(pickle.root), "a string of 1048576 bytes");
    let pickle = Pickle::read(b"\x80\x02J\xff\xff\xff\xff.").unwrap();
    assert_eq!(pickle.describe(pickle.root), "-1");
}

#[test]
fn a_tuple_takes_nothing_from_below_a_mark() {
    assert_eq!(refusal(b"\x80\x02NN(N\x86."), "6: the stack holds too few values");
    assert_eq!(refusal(b"\x80\x02N(."), "4: the stack holds too few values");
}

/// The values of `tests/fixtures/pickles.py` in a protocol.
fn pickled(protocol: u8) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pickles");
    std::fs::read(format!("{folder}/protocol-{protocol}.pickle")).unwrap()
}

#[test]
fn every_protocol_says_the_same() {
    for protocol in 2..=5 {
        let bytes = pickled(protocol);
        let pickle = Pickle::read(&bytes).unwrap();
        let &[csr, csr_array, rows, by_columns, truths, small, none, graph, numbers] =
            pickle.tuple(pickle.root).unwrap()
        else {
            panic!("protocol {protocol}: {}", pickle.describe(pickle.root));
        };
        let found = matrix(&pickle, csr).unwrap();
        assert_eq!((found.rows, found.columns), (3, 3), "protocol {protocol}");
        let mut row = [0.0; 3];
        found.write(2, &mut row);
        assert_eq!(row, [2.0, 0.0, -3.0]);
        assert_eq!(matrix(&pickle, csr_array).unwrap().rows, 2);
        let expected = (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        for value in [rows, by_columns] {
            assert_eq!(array(&pickle, value), Some(expected.clone()), "protocol {protocol}");
        }
        assert_eq!(array(&pickle, truths), Some((vec![2, 2], vec![1.0, 0.0, 0.0, 1.0])));
        assert_eq!(array(&pickle, small), Some((vec![3], vec![0.0, 200.0, 255.0])));
        assert_eq!(array(&pickle, none), Some((vec![0], Vec::new())));
        let neighbors = pickle.call(graph).unwrap().items;
        let keys: Vec<_> = neighbors.iter().map(|(key, _)| integer(&pickle, *key)).collect();
        assert_eq!(keys, [Some(0), Some(1), Some(70_000)], "protocol {protocol}");
        assert_eq!(pickle.list(neighbors[0].1).unwrap(), [Value::Int(1), Value::Int(300)]);
        assert_eq!(pickle.list(neighbors[2].1).unwrap(), [Value::Int(-1)]);
        let (key, value) = pickle.dict(numbers).unwrap()[0];
        let values = pickle.list(value).unwrap().iter().map(|value| integer(&pickle, *value));
        assert_eq!((integer(&pickle, key), values.collect()), (Some(7), vec![Some(-2), Some(200)]));
    }
}

#[test]
fn another_protocol_and_arrays_elsewhere_are_refused_with_what_would_be_right() {
    let refused = refusal(b"(lp0\n.");
    assert!(
        refused.starts_with("0: the file is no pickle of protocol 2 to 5; write it again by "),
        "{refused}"
    );
    assert!(refusal(b"").starts_with("0: the file is no pickle"));
    for protocol in [0, 1, 6] {
        let refused = refusal(&[0x80, protocol, b'N', b'.']);
        assert_eq!(
            refused,
            format!("0: protocol {protocol} is not read; write the pickle again with protocol 2 to 5")
        );
    }
    assert!(refusal(b"\x80\x05\x97.").starts_with("2: an array lies outside the pickle"));
    assert!(
        refusal(b"\x80\x04G\0\0\0\0\0\0\0\0.").starts_with("2: the pickle instruction 0x47 is not supported")
    );
}

#[test]
fn integers_of_any_length_fit_into_32_bits_or_are_refused() {
    for (bytes, value) in [
        (&b""[..], Some(0)),
        (b"\x00", Some(0)),
        (b"\xff", Some(-1)),
        (b"\xff\x00", Some(255)),
        (b"\x00\x00\x00\x80\xff", Some(i32::MIN)),
        (b"\xff\xff\xff\x7f\x00\x00", Some(i32::MAX)),
        (b"\x00\x00\x00\x80\x00", None),
        (b"\xff\xff\xff\x7f\xff", None),
    ] {
        let pickle = [&b"\x80\x04\x8a"[..], &[bytes.len() as u8], bytes, b"."].concat();
        let read = Pickle::read(&pickle).ok().map(|pickle| pickle.root);
        assert_eq!(read, value.map(Value::Int), "{bytes:?}");
    }
}

/// Lists of which each has the one before twice: Python's objects are few, what they spell out is 2ⁿ.
#[test]
fn what_is_referred_to_again_is_not_copied() {
    let levels = 10_000;
    let mut bytes = b"\x80\x04]\x94".to_vec();
    for level in 0..levels {
        bytes.extend(b"]\x94(j");
        bytes.extend(u32::to_le_bytes(level));
        bytes.push(b'j');
        bytes.extend(u32::to_le_bytes(level));
        bytes.push(b'e');
    }
    bytes.push(b'.');
    let pickle = Pickle::read(&bytes).unwrap();
    assert_eq!(pickle.list(pickle.root).unwrap().len(), 2);
    assert_eq!((pickle.objects.len(), pickle.values), (levels as usize + 1, 3 * levels as usize + 1));
}

/// What `lookalike_base::pickle` writes for others.
#[test]
fn arrays_that_are_written_for_others_are_read_again() {
    use lookalike_base::pickle::{Object as Written, write};
    use lookalike_base::{Array, Values};

    let values: Vec<f32> = (0..24).map(|value| value as f32 * -1.7e-3 + 0.01).collect();
    let arrays = [
        ("weight", Array::f32([2, 3, 4], values.clone())),
        ("count", Array::i64([], vec![-3])),
        ("none", Array::f32([0], Vec::new())),
        ("bytes", Array { shape: vec![3], values: Values::U8(vec![0, 127, 255]) }),
    ];
    let entries = arrays.iter().map(|(name, array)| (*name, Written::Array(array))).collect();
    let mut bytes = Vec::new();
    write(&Written::Dict(vec![("model", Written::Dict(entries)), ("flag", Written::Flag(true))]), &mut bytes)
        .unwrap();
    let pickle = Pickle::read(&bytes).unwrap();
    let top = pickle.dict(pickle.root).unwrap();
    assert_eq!((top.len(), pickle.bytes(top[1].0), top[1].1), (2, Some(&b"flag"[..]), Value::Bool(true)));
    let model = pickle.dict(top[0].1).unwrap();
    let read = |place: usize, name: &str| {
        assert_eq!(pickle.bytes(model[place].0), Some(name.as_bytes()));
        array(&pickle, model[place].1).unwrap()
    };
    let expected = values.iter().map(|value| f64::from(*value)).collect();
    assert_eq!(read(0, "weight"), (vec![2, 3, 4], expected));
    assert_eq!(read(1, "count"), (vec![], vec![-3.0]));
    assert_eq!(read(2, "none"), (vec![0], vec![]));
    assert_eq!(read(3, "bytes"), (vec![3], vec![0.0, 127.0, 255.0]));
}
