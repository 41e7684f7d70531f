//! As much of Python's pickle format as the Planetoid files need, as data: nothing is imported and nothing called. A value
//! that a program would make by calling something is kept as the call it is.

use std::collections::HashMap;

/// The place of a value.
pub(super) type Id = usize;

/// A value of a pickle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A string of bytes or characters.
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Something of a module, as `module name`.
    Global(String),
    /// What a program would make of a call.
    Call {
        function: Id,
        arguments: Id,
        state: Option<Id>,
        /// Entries that were added to it, as to a dictionary.
        items: Vec<(Id, Id)>,
    },
}

/// A call of something of a module, not made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// As `module name`.
    pub(super) function: &'a str,
    pub(super) arguments: &'a [Id],
    pub(super) state: Option<Id>,
    pub(super) items: &'a [(Id, Id)],
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    pub(super) root: Id,
}

impl Pickle {
    /// Reads the values that `bytes` describe. What is kept is at most proportional to them.
    ///
    /// # Errors
    /// The byte that is wrong, and what it is.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, (usize, String)> {
        let mut machine = Machine {
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        loop {
            let start = machine.at;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Self { values: machine.values, root }),
                Err(problem) => return Err((start, problem)),
            }
        }
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// What a value is as a call, where it is one.
    pub(super) fn call(&self, id: Id) -> Option<Call<'_>> {
        let Value::Call { function, arguments, state, items } = self.value(id) else { return None };
        let Value::Global(function) = self.value(*function) else { return None };
        let Value::Tuple(arguments) = self.value(*arguments) else { return None };
        Some(Call { function, arguments, state: *state, items })
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        if let Value::Int(value) = self.value(id) { Some(*value) } else { None }
    }

    pub(super) fn bytes(&self, id: Id) -> Option<&[u8]> {
        if let Value::Bytes(value) = self.value(id) { Some(value) } else { None }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Lengths of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Carries out one instruction; some value where that was the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        match self.take(1)?[0] {
            0x80 => {
                self.take(1)?;
            }
            b'.' => return self.pop().map(Some),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module} {name}")));
            }
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let value = self.word()? as i32;
                self.push(Value::Int(value.into()));
            }
            b'K' => {
                let value = self.take(1)?[0];
                self.push(Value::Int(value.into()));
            }
            b'M' => {
                let bytes = self.take(2)?;
                self.push(Value::Int(u16::from_le_bytes([bytes[0], bytes[1]]).into()));
            }
            b'U' | b'C' => {
                let length = self.take(1)?[0].into();
                let bytes = self.take(length)?.to_vec();
                self.push(Value::Bytes(bytes));
            }
            b'T' | b'B' | b'X' => {
                let length = self.word()? as usize;
                let bytes = self.take(length)?.to_vec();
                self.push(Value::Bytes(bytes));
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            count @ 0x85..=0x87 => {
                let from = self
                    .stack
                    .len()
                    .checked_sub(usize::from(count - 0x84))
                    .ok_or("the stack is too short")?;
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items));
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items));
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.push(Value::Call { function, arguments, state: None, items: Vec::new() });
            }
            b'b' => {
                let new = self.pop()?;
                match self.top()? {
                    Value::Call { state, .. } => *state = Some(new),
                    _ => return Err("a state is given to what has none".to_owned()),
                }
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.insert(&items)?;
            }
            b'q' => {
                let key = self.take(1)?[0].into();
                self.remember(key)?;
            }
            b'r' => {
                let key = self.word()?;
                self.remember(key)?;
            }
            b'h' => {
                let key = self.take(1)?[0].into();
                self.recall(key)?;
            }
            b'j' => {
                let key = self.word()?;
                self.recall(key)?;
            }
            other => return Err(format!("instruction {other:#04x} is none that these files need")),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken =
            rest.get(..count).ok_or_else(|| format!("{count} bytes should follow, and {} do", rest.len()))?;
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
        str::from_utf8(&rest[..length]).map_err(|_| "a name is no text".to_owned())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    /// Takes a value off the stack, but none from below the last mark.
    fn pop(&mut self) -> Result<Id, String> {
        let lowest = self.marks.last().copied().unwrap_or(0);
        let top = (self.stack.len() > lowest).then(|| self.stack.pop()).flatten();
        top.ok_or_else(|| "the stack is empty".to_owned())
    }

    fn top(&mut self) -> Result<&mut Value, String> {
        let id = *self.stack.last().ok_or("the stack is empty")?;
        Ok(&mut self.values[id])
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, mut new: Vec<Id>) -> Result<(), String> {
        match self.top()? {
            Value::List(items) => items.append(&mut new),
            _ => return Err("something is appended to what is no list".to_owned()),
        }
        Ok(())
    }

    fn insert(&mut self, new: &[Id]) -> Result<(), String> {
        if !new.len().is_multiple_of(2) {
            return Err("a key has no value".to_owned());
        }
        match self.top()? {
            Value::Dict(items) | Value::Call { items, .. } => {
                items.extend(new.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("an entry is added to what is no dictionary".to_owned()),
        }
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let id = *self.stack.last().ok_or("the stack is empty")?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("nothing was remembered as {key}"))?;
        self.stack.push(id);
        Ok(())
    }
}
