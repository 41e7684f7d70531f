//! Instruction by instruction from bytes to values.

use super::{Call, Object, Pickle, Value};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The most that a pickle of a certain length may describe. Together they keep memory below some thirty times
/// the length.
pub(super) struct Limits {
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

/// The protocols that are read. Those before are written in other instructions.
const PROTOCOLS: RangeInclusive<u8> = 2..=5;

/// Reads a pickle instruction by instruction.
pub(super) struct Interpreter<'a> {
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
    pub(super) fn new(bytes: &'a [u8]) -> Self {
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

    /// Carries out all instructions.
    ///
    /// # Errors
    /// The offset of the instruction that is wrong, and what is wrong with it.
    pub(super) fn run(mut self) -> Result<Pickle<'a>, (usize, String)> {
        if self.bytes.first() != Some(&0x80) {
            let problem = "the file is no pickle of protocol 2 to 5; write it again by `pickle.dump(value, file, protocol=4)`";
            return Err((0, problem.to_owned()));
        }
        loop {
            let start = self.at;
            match self.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Pickle { objects: self.objects, root, values: self.pushed }),
                Err(problem) => return Err((start, problem)),
            }
        }
    }

    /// Carries out one instruction; the result of the pickle where that was the last.
    fn step(&mut self) -> Result<Option<Value>, String> {
        match self.take(1)?[0] {
            b'.' => return self.pop().map(Some),
            0x80 => {
                let protocol = self.take(1)?[0];
                if !PROTOCOLS.contains(&protocol) {
                    return Err(format!(
                        "protocol {protocol} is not read; write the pickle again with protocol 2 to 5"
                    ));
                }
            }
            // How many bytes follow, for readers of streams.
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.mark()?,
            b'q' => {
                let key = self.take(1)?[0].into();
                self.memoize(key)?;
            }
            b'r' => {
                let key = self.word()?;
                self.memoize(key)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let key = self.take(1)?[0].into();
                self.push_memoized(key)?;
            }
            b'j' => {
                let key = self.word()?;
                self.push_memoized(key)?;
            }
            0x97 | 0x98 => {
                return Err("an array lies outside the pickle; write it without `buffer_callback`".to_owned());
            }
            instruction => {
                let known =
                    self.small(instruction)? || self.string(instruction)? || self.collection(instruction)?;
                if !known && !self.call(instruction)? {
                    return Err(format!("the pickle instruction {instruction:#04x} is not supported"));
                }
            }
        }
        Ok(None)
    }

    /// Carries out an instruction that gives a value without contents; false where it is another.
    fn small(&mut self, instruction: u8) -> Result<bool, String> {
        let value = match instruction {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(self.word()? as i32),
            b'K' => Value::Int(self.take(1)?[0].into()),
            b'M' => {
                let bytes = self.take(2)?;
                Value::Int(u16::from_le_bytes([bytes[0], bytes[1]]).into())
            }
            0x8a => {
                let length = self.take(1)?[0].into();
                Value::Int(long(self.take(length)?)?)
            }
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    /// Carries out an instruction that gives a string of bytes or characters; false where it is another.
    fn string(&mut self, instruction: u8) -> Result<bool, String> {
        let length = match instruction {
            b'U' | b'C' | 0x8c => self.take(1)?[0].into(),
            b'T' | b'B' | b'X' => self.word()? as usize,
            0x8d | 0x8e | 0x96 => {
                let [low, high] = [self.word()?, self.word()?].map(u64::from);
                usize::try_from(high << 32 | low).map_err(|_| "a string is too long".to_owned())?
            }
            _ => return Ok(false),
        };
        let bytes = self.take(length)?;
        self.create(Object::Bytes(bytes))?;
        Ok(true)
    }

    /// Carries out an instruction of tuples, lists and dictionaries; false where it is another.
    fn collection(&mut self, instruction: u8) -> Result<bool, String> {
        match instruction {
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
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Carries out an instruction of names and calls; false where it is another.
    fn call(&mut self, instruction: u8) -> Result<bool, String> {
        match instruction {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.create(Object::Global(Box::new((module, name))))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (module, name) = (self.text(module)?, self.text(name)?);
                self.create(Object::Global(Box::new((module, name))))?;
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
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The text of a value that must be one.
    fn text(&self, value: Value) -> Result<&'a str, String> {
        let bytes = match value {
            Value::Object(number) => match self.objects.get(number as usize) {
                Some(Object::Bytes(bytes)) => Some(*bytes),
                _ => None,
            },
            _ => None,
        };
        bytes.and_then(|bytes| str::from_utf8(bytes).ok()).ok_or_else(|| "a name is no text".to_owned())
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
        if self.memo.len() > self.limits.objects {
            return Err(format!(
                "more numbered values than a file of {} bytes should hold",
                self.bytes.len()
            ));
        }
        Ok(())
    }

    fn push_memoized(&mut self, key: u32) -> Result<(), String> {
        let value = *self.memo.get(&key).ok_or_else(|| format!("no value has the number {key}"))?;
        self.push(value)
    }
}

/// An integer of any number of bytes, the last of which has the sign; it must fit into 32 bits.
fn long(bytes: &[u8]) -> Result<i32, String> {
    let Some((last, _)) = bytes.split_last() else { return Ok(0) };
    let sign = if *last < 0x80 { 0 } else { 0xff };
    let mut word = [sign; 4];
    let kept = bytes.len().min(4);
    word[..kept].copy_from_slice(&bytes[..kept]);
    let value = i32::from_le_bytes(word);
    let fits = bytes[kept..].iter().all(|byte| *byte == sign) && (value < 0) == (sign == 0xff);
    if fits { Ok(value) } else { Err("an integer has more than 32 bits".to_owned()) }
}
