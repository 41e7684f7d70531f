//! Python's pickle format, protocols 2 to 5, as far as dictionaries of lists, arrays of NumPy and matrices of SciPy need it
//! (<https://github.com/python/cpython/blob/main/Lib/pickletools.py>). It is read as data: nothing is imported and nothing is
//! called. What Python would make by a call is kept as the call.
//!
//! A value that occurs again is a number, never a copy, so the memory taken follows the number of values, and that is limited by
//! what a file of this length can honestly describe, see [`Limits`](interpreter::Limits).

mod arrays;
mod interpreter;

pub(super) use arrays::{CompressedRows, array, integer, matrix};

use interpreter::Interpreter;
use std::borrow::Cow;

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
    /// A module of Python and a name in it.
    Global(Box<(&'a str, &'a str)>),
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
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a [Value],
    pub(super) state: Option<Value>,
    pub(super) items: &'a [(Value, Value)],
}

/// A pickle as it was read from bytes.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    pub(super) root: Value,
    /// How many values the instructions gave, each of which is an item of one object at most.
    pub(super) values: usize,
}

impl<'a> Pickle<'a> {
    /// Reads what `bytes` describe.
    ///
    /// # Errors
    /// The offset of the instruction that is wrong, and what is wrong with it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, (usize, String)> {
        Interpreter::new(bytes).run()
    }

    fn object(&self, value: Value) -> Option<&Object<'a>> {
        if let Value::Object(number) = value { self.objects.get(number as usize) } else { None }
    }

    /// The call that a value is, where it is one of a name in a module with a tuple of arguments.
    pub(super) fn call(&self, value: Value) -> Option<GlobalCall<'_>> {
        let Object::Call(call) = self.object(value)? else { return None };
        let Object::Global(global) = self.object(call.function)? else { return None };
        let (module, name) = **global;
        let arguments = self.tuple(call.arguments)?;
        Some(GlobalCall { module, name, arguments, state: call.state, items: &call.items })
    }

    pub(super) fn bytes(&self, value: Value) -> Option<&'a [u8]> {
        if let Object::Bytes(bytes) = self.object(value)? { Some(bytes) } else { None }
    }

    /// A string of bytes, also one that protocol 2 writes as text in Latin-1, for it has no bytes.
    pub(super) fn raw(&self, value: Value) -> Option<Cow<'a, [u8]>> {
        if let Some(bytes) = self.bytes(value) {
            return Some(Cow::Borrowed(bytes));
        }
        let call = self.call(value)?;
        match (call.module, call.name, call.arguments) {
            ("_codecs", "encode", [text, encoding]) if self.bytes(*encoding)? == b"latin1" => {
                let text = str::from_utf8(self.bytes(*text)?).ok()?;
                text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect::<Option<_>>()
            }
            ("__builtin__" | "builtins", "bytes", []) => Some(Cow::Borrowed(b"")),
            _ => None,
        }
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
            (_, Some(Object::Global(..))) => "a name in a module".to_owned(),
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

#[cfg(test)]
mod tests;
