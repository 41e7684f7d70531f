//! The part of Python's pickle format that the Planetoid files use, read as data: nothing is imported and
//! nothing is called. What Python would make by a call is kept as the call.
//!
//! The memory taken is limited by what a file of this length can honestly describe, see [`Limits`].

use std::collections::HashMap;

/// A value: a small one itself, a larger one as the number of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i32),
    Object(u32),
}

/// A value with contents.
#[derive(Debug, PartialEq, Eq)]
enum Object<'a> {
    /// A string of bytes or characters.
    Bytes(&'a [u8]),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A name in a Python module, as `module name`.
    Global(String),
    Call(Box<Call>),
}

/// A call that Python would make.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    function: Value,
    arguments: Value,
    state: Option<Value>,
    /// Entries that were added to its result, as to a dictionary.
    items: Vec<(Value, Value)>,
}

/// A call of a name in a Python module.
#[derive(Debug, Clone, Copy)]
pub(super) struct GlobalCall<'a> {
    /// As `module name`.
    pub(super) function: &'a str,
    pub(super) arguments: &'a [Value],
    pub(super) state: Option<Value>,
    pub(super) items: &'a [(Value, Value)],
}

/// A pickle as it was read from bytes.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    pub(super) root: Value,
}

impl<'a> Pickle<'a> {
    /// Reads what `bytes` describe.
    ///
    /// # Errors
    /// The offset of the instruction that is wrong, and what is wrong with it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, (usize, String)> {
        let mut interpreter = Interpreter::new(bytes);
        loop {
            let start = interpreter.at;
            match interpreter.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Self { objects: interpreter.objects, root }),
                Err(problem) => return Err((start, problem)),
            }
        }
    }

    fn object(&self, value: Value) -> Option<&Object<'a>> {
        if let Value::Object(number) = value { self.objects.get(number as usize) } else { None }
    }

    /// The call that a value is, where it is one of a name in a module with a tuple of arguments.
    pub(super) fn call(&self, value: Value) -> Option<GlobalCall<'_>> {
        let Object::Call(call) = self.object(value)? else { return None };
        let Object::Global(function) = self.object(call.function)? else { return None };
        let arguments = self.tuple(call.arguments)?;
        Some(GlobalCall { function, arguments, state: call.state, items: &call.items })
    }

    pub(super) fn bytes(&self, value: Value) -> Option<&'a [u8]> {
        if let Object::Bytes(bytes) = self.object(value)? { Some(bytes) } else { None }
    }

    pub(super) fn tuple(&self, value: Value) -> Option<&[Value]> {
        if let Object::Tuple(items) = self.object(value)? { Some(items) } else { None }
    }

    pub(super) fn list(&self, value: Value) -> Option<&[Value]> {
        if let Object::List(items) = self.object(value)? { Some(items) } else { None }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        if let Object::Dict(items) = self.object(value)? { Some(items) } else { None }
    }

    /// What an error says of a value: its kind and size, never its contents, which can be as long as the
    /// file.
    pub(super) fn describe(&self, value: Value) -> String {
        match (value, self.object(value)) {
            (Value::Bool(value), _) => value.to_string(),
            (Value::Int(value), _) => value.to_string(),
            (_, Some(Object::Bytes(bytes))) => format!("a string of {} bytes", bytes.len()),
            (_, Some(Object::Tuple(items))) => format!("a tuple of {}", items.len()),
            (_, Some(Object::List(items))) => format!("a list of {}", items.len()),
            (_, Some(Object::Dict(items))) => format!("a dictionary of {}", items.len()),
            (_, Some(Object::Global(_))) => "a name in a module".to_owned(),
            (_, Some(Object::Call(_))) => "the result of a call".to_owned(),
            _ => "None".to_owned(),
        }
    }
}

impl Value {
    pub(super) fn int(self) -> Option<i32> {
        if let Self::Int(value) = self { Some(value) } else { None }
    }
}

/// The most that a pickle of a certain length may describe. Together they keep memory below some thirty times
/// the length.
struct Limits {
    /// Values given to the stack: the shortest, an integer, takes two bytes; a few take one.
    values: usize,
    /// Values with contents: the shortest in number, an empty list behind its key, takes four bytes.
    objects: usize,
}

/// Values that even the shortest file may describe, whatever their length.
const SPARE: usize = 1 << 10;

/// Limit of values on the stack. Python's picklers write lists and dictionaries in pieces of a thousand
/// entries.
const MAX_STACK: usize = 1 << 20;

/// Limit of marks that are set at the same time, one a level of nesting.
const MAX_MARKS: usize = 1 << 10;

impl Limits {
    fn of(bytes: usize) -> Self {
        Self { values: bytes / 2 + SPARE, objects: bytes / 4 + SPARE }
    }
}

/// Reads a pickle instruction by instruction.
struct Interpreter<'a> {
    bytes: &'a [u8],
    /// Offset of the next instruction.
    at: usize,
    limits: Limits,
    /// Values given to the stack so far.
    pushed: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Value>,
    /// Lengths of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'a> Interpreter<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            limits: Limits::of(bytes.len()),
            pushed: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Carries out one instruction; the result of the pickle where that was the last.
    fn step(&mut self) -> Result<Option<Value>, String> {
        match self.take(1)?[0] {
            0x80 => {
                self.take(1)?;
            }
            b'.' => return self.pop().map(Some),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.create(Object::Global(format!("{module} {name}")))?;
            }
            b'(' => self.mark()?,
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => {
                let value = self.word()? as i32;
                self.push(Value::Int(value))?;
            }
            b'K' => {
                let value = self.take(1)?[0];
                self.push(Value::Int(value.into()))?;
            }
            b'M' => {
                let bytes = self.take(2)?;
                self.push(Value::Int(u16::from_le_bytes([bytes[0], bytes[1]]).into()))?;
            }
            b'U' | b'C' => {
                let length = self.take(1)?[0].into();
                let bytes = self.take(length)?;
                self.create(Object::Bytes(bytes))?;
            }
            b'T' | b'B' | b'X' => {
                let length = self.word()? as usize;
                let bytes = self.take(length)?;
                self.create(Object::Bytes(bytes))?;
            }
            b')' => self.create(Object::Tuple(Vec::new()))?,
            b']' => self.create(Object::List(Vec::new()))?,
            b'}' => self.create(Object::Dict(Vec::new()))?,
            count @ 0x85..=0x87 => {
                let from = self.topmost(usize::from(count - 0x84))?;
                let items = self.stack.split_off(from);
                self.create(Object::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.create(Object::Tuple(items))?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let call = Call { function, arguments, state: None, items: Vec::new() };
                self.create(Object::Call(Box::new(call)))?;
            }
            b'b' => {
                let state = self.pop()?;
                match self.top()? {
                    Object::Call(call) => call.state = Some(state),
                    _ => return Err("a state is given to a value that has none".to_owned()),
                }
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.insert(&items)?;
            }
            b'q' => {
                let key = self.take(1)?[0].into();
                self.memoize(key)?;
            }
            b'r' => {
                let key = self.word()?;
                self.memoize(key)?;
            }
            b'h' => {
                let key = self.take(1)?[0].into();
                self.push_memoized(key)?;
            }
            b'j' => {
                let key = self.word()?;
                self.push_memoized(key)?;
            }
            other => return Err(format!("the pickle instruction {other:#04x} is not supported")),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = rest
            .get(..count)
            .ok_or_else(|| format!("expected {count} bytes more, but {} are left", rest.len()))?;
        self.at += count;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("a name does not end")?;
        self.at += length + 1;
        str::from_utf8(&rest[..length]).map_err(|_| "a name is not UTF-8 text".to_owned())
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.pushed >= self.limits.values {
            return Err(format!("more values than a file of {} bytes should hold", self.bytes.len()));
        }
        if self.stack.len() >= MAX_STACK {
            return Err(format!("more than {MAX_STACK} values are on the stack"));
        }
        self.pushed += 1;
        self.stack.push(value);
        Ok(())
    }

    /// Puts a new object on the stack.
    fn create(&mut self, object: Object<'a>) -> Result<(), String> {
        if self.objects.len() >= self.limits.objects {
            return Err(format!(
                "more lists, tuples and strings than a file of {} bytes should hold",
                self.bytes.len()
            ));
        }
        self.push(Value::Object(self.objects.len() as u32))?;
        self.objects.push(object);
        Ok(())
    }

    fn mark(&mut self) -> Result<(), String> {
        if self.marks.len() >= MAX_MARKS {
            return Err(format!("values are nested more than {MAX_MARKS} deep"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Where the topmost `count` values of the stack begin, which must lie above the last mark.
    fn topmost(&self, count: usize) -> Result<usize, String> {
        let lowest = self.marks.last().copied().unwrap_or(0);
        let from = self.stack.len().checked_sub(count).filter(|from| *from >= lowest);
        from.ok_or_else(|| "the stack holds too few values".to_owned())
    }

    fn pop(&mut self) -> Result<Value, String> {
        let at = self.topmost(1)?;
        Ok(self.stack.swap_remove(at))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("no mark is set")?;
        Ok(self.stack.split_off(mark))
    }

    /// The object on top of the stack.
    fn top(&mut self) -> Result<&mut Object<'a>, String> {
        let object = match self.stack.last() {
            Some(Value::Object(number)) => self.objects.get_mut(*number as usize),
            _ => None,
        };
        object.ok_or_else(|| "the top of the stack holds nothing that can be changed".to_owned())
    }

    fn append(&mut self, new: &[Value]) -> Result<(), String> {
        match self.top()? {
            Object::List(items) => items.extend_from_slice(new),
            _ => return Err("an item is appended to a value that is not a list".to_owned()),
        }
        Ok(())
    }

    fn insert(&mut self, new: &[Value]) -> Result<(), String> {
        if !new.len().is_multiple_of(2) {
            return Err("a key has no value".to_owned());
        }
        let items = match self.top()? {
            Object::Dict(items) => items,
            Object::Call(call) => &mut call.items,
            _ => return Err("an entry is added to a value that is not a dictionary".to_owned()),
        };
        items.extend(new.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn memoize(&mut self, key: u32) -> Result<(), String> {
        let value = *self.stack.last().ok_or("the stack holds too few values")?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn push_memoized(&mut self, key: u32) -> Result<(), String> {
        let value = *self.memo.get(&key).ok_or_else(|| format!("no value has the number {key}"))?;
        self.push(value)
    }
}

#[cfg(test)]
mod tests {
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
}
