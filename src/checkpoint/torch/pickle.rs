//! An interpreter for pickles that contain tensors, and nothing else.
//!
//! A pickle is a program, and Python's interpreter lets it call anything. This interpreter knows the instructions, and
//! the few names that `torch.save` uses for a dictionary of tensors. It calls nothing and refuses any other name. It
//! only describes a tensor: the key of its storage, its offset, shape and strides. Every instruction takes constant
//! time and creates at most one value, and the number of instructions is limited.

use std::collections::HashMap;

use crate::error::clip;

/// The most instructions. A model of 10,000 tensors takes about 400,000. The values then take at most 100 MB.
const MOST_VALUES: usize = 1 << 20;

/// A value on the stack. Composite values are in `Machine::objects`, so that copies share them as in Python.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Text(&'a str),
    /// An integer of more than 64 bits, little-endian.
    Big(&'a [u8]),
    /// A number or bytes that no tensor needs.
    Other,
    Global(Global),
    Object(usize),
}

/// The names that a pickle may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// Makes a tensor from a storage, an offset, a shape and strides.
    Tensor,
    /// The same with the type at the end.
    TypedTensor,
    /// Returns its first argument, a tensor.
    Parameter,
    /// Calls its first argument on its third.
    FromType,
    Size,
    /// A class of tensors, which occurs only as a name.
    Class,
    /// The type of a storage's elements, by its name in safetensors; `None` for bytes.
    Storage(Option<&'static str>),
    Type(&'static str),
}

#[derive(Debug)]
pub(super) enum Object<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Storage(Storage<'a>),
    Tensor(Box<Tensor>),
}

/// A run of elements in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub key: &'a str,
    pub dtype: Option<&'static str>,
    /// The number of elements, or of bytes if there is no type.
    pub len: u64,
    /// The first element, if this is a part of another storage.
    pub first: u64,
}

/// A view of a storage.
#[derive(Debug)]
pub(super) struct Tensor {
    /// The index of the storage among the objects.
    pub storage: usize,
    pub dtype: Option<&'static str>,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

/// Types: the names of their storages, their own names, and their names in safetensors.
const TYPES: [(&str, &str, &str); 11] = [
    ("FloatStorage", "float32", "F32"),
    ("HalfStorage", "float16", "F16"),
    ("BFloat16Storage", "bfloat16", "BF16"),
    ("DoubleStorage", "float64", "F64"),
    ("LongStorage", "int64", "I64"),
    ("IntStorage", "int32", "I32"),
    ("ShortStorage", "int16", "I16"),
    ("CharStorage", "int8", "I8"),
    ("ByteStorage", "uint8", "U8"),
    ("BoolStorage", "bool", "BOOL"),
    ("ComplexFloatStorage", "complex64", "C64"),
];

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        let storage = |(storage, ..): &&(&str, &str, &str)| *storage == name;
        let dtype = |(_, dtype, _): &&(&str, &str, &str)| *dtype == name;
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::TypedTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::Parameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::FromType,
            ("torch", "Size") => Self::Size,
            ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Self::Class,
            ("torch" | "torch.storage", "UntypedStorage" | "_UntypedStorage") => Self::Storage(None),
            ("torch" | "torch.storage" | "torch.cuda", _) if name.ends_with("Storage") => {
                Self::Storage(Some(TYPES.iter().find(storage)?.2))
            }
            ("torch", _) => Self::Type(TYPES.iter().find(dtype)?.2),
            _ => return None,
        })
    }
}

/// The state of a running pickle, with the objects that it made.
#[derive(Default)]
pub(super) struct Machine<'a> {
    data: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    pub objects: Vec<Object<'a>>,
    values: usize,
}

type Done<T> = Result<T, String>;

impl<'a> Machine<'a> {
    /// Runs the pickle that begins at byte `at` of `data`. Returns its value, and where it ends.
    ///
    /// # Errors
    /// A description of the fault, or the name in the pickle that no tensor needs.
    pub fn run(data: &'a [u8], at: usize) -> Done<(Self, Value<'a>, usize)> {
        let mut machine = Self { data, at, ..Self::default() };
        while !machine.step()? {}
        let value = machine.pop()?;
        let end = machine.at;
        Ok((machine, value, end))
    }

    /// Runs one instruction; returns whether it was the last.
    fn step(&mut self) -> Done<bool> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err("it holds more than any model's tensors need".into());
        }
        let code = self.byte()?;
        match code {
            // PROTO, FRAME
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(true),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(n.into()));
            }
            b'K' => {
                let n = self.byte()?;
                self.stack.push(Value::Int(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(n.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Other);
            }
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'C' => self.bytes(1)?,
            b'B' => self.bytes(4)?,
            0x8e => self.bytes(8)?,
            b']' => self.make(Object::List(Vec::new())),
            b'}' => self.make(Object::Dict(Vec::new())),
            b')' => self.make(Object::Tuple(Vec::new())),
            b't' => {
                let items = self.since_mark()?;
                self.make(Object::Tuple(items));
            }
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or_else(damaged)?;
                let items = self.stack.split_off(first);
                self.make(Object::Tuple(items));
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
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            b'q' => {
                let key = self.byte()?;
                self.memo.insert(key.into(), self.top()?);
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.memo.insert(key, self.top()?);
            }
            0x94 => {
                let key = self.memo.len() as u32;
                self.memo.insert(key, self.top()?);
            }
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.global(module, name)?,
                _ => return Err(damaged()),
            },
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let value = self.call(callee, arguments)?;
                self.stack.push(value);
            }
            // The attributes of an object, such as a dictionary's metadata, which no tensor needs.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.make(Object::Storage(storage));
            }
            other => return Err(format!("it has the instruction {other:#04x}, which no file of tensors needs")),
        }
        Ok(false)
    }

    /// The result of calling `callee` with these arguments.
    fn call(&mut self, callee: Value<'a>, arguments: Value<'a>) -> Done<Value<'a>> {
        let Value::Global(global) = callee else { return Err(damaged()) };
        let items = self.tuple(arguments)?;
        let first = items.first().copied();
        match (global, first) {
            (Global::OrderedDict, None) => Ok(self.object(Object::Dict(Vec::new()))),
            (Global::OrderedDict, Some(pairs)) => {
                let pairs: Done<Vec<_>> = self.list(pairs)?.iter().map(|pair| self.pair(*pair)).collect();
                let pairs = pairs?;
                self.values += pairs.len();
                Ok(self.object(Object::Dict(pairs)))
            }
            (Global::Tensor | Global::TypedTensor, _) => {
                let tensor = self.tensor(items, global == Global::TypedTensor)?;
                Ok(self.object(Object::Tensor(Box::new(tensor))))
            }
            (Global::Parameter | Global::Size, Some(first)) => Ok(first),
            (
                Global::FromType,
                Some(inner @ Value::Global(Global::Tensor | Global::TypedTensor | Global::Parameter)),
            ) => {
                let arguments = items.get(2).copied().ok_or_else(damaged)?;
                self.call(inner, arguments)
            }
            _ => Err(damaged()),
        }
    }

    fn tensor(&self, arguments: &[Value<'a>], is_typed: bool) -> Done<Tensor> {
        let [Value::Object(storage), Value::Int(offset), shape, strides, rest @ ..] = arguments else {
            return Err(damaged());
        };
        let Some(Object::Storage(of)) = self.objects.get(*storage) else { return Err(damaged()) };
        let numbers = |value: &Value<'a>| -> Done<Vec<u64>> {
            let number = |value: &Value<'a>| match value {
                Value::Int(n) => u64::try_from(*n).map_err(|_| "a tensor has a negative size or stride".to_owned()),
                _ => Err(damaged()),
            };
            self.tuple(*value)?.iter().map(number).collect()
        };
        let dtype = match (is_typed, rest.get(2)) {
            (false, _) => of.dtype,
            (true, Some(Value::Global(Global::Type(dtype)))) => Some(*dtype),
            (true, _) => return Err(damaged()),
        };
        let offset = u64::try_from(*offset).map_err(|_| damaged())?;
        Ok(Tensor { storage: *storage, dtype, offset, shape: numbers(shape)?, strides: numbers(strides)? })
    }

    /// The storage for a persistent id: `("storage", type, key, place, elements)`, and in old files a part of another
    /// storage.
    fn storage(&self, id: Value<'a>) -> Done<Storage<'a>> {
        let [
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            _,
            Value::Int(len),
            rest @ ..,
        ] = self.tuple(id)?
        else {
            return Err("it refers to something other than a storage of tensors".into());
        };
        let mut storage = Storage { key, dtype: *dtype, len: u64::try_from(*len).map_err(|_| damaged())?, first: 0 };
        match rest {
            [] | [Value::None] => {}
            [view] => match self.tuple(*view)? {
                [_, Value::Int(first), Value::Int(len)] => {
                    storage.first = u64::try_from(*first).map_err(|_| damaged())?;
                    storage.len = u64::try_from(*len).map_err(|_| damaged())?;
                }
                _ => return Err(damaged()),
            },
            _ => return Err(damaged()),
        }
        Ok(storage)
    }

    fn global(&mut self, module: &str, name: &str) -> Done<()> {
        let global = Global::named(module, name).ok_or_else(|| {
            format!(
                "it asks for {}, and a pickle may only name what tensors are made of",
                clip(&format!("{module}.{name}"))
            )
        })?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Done<()> {
        match self.top_object()? {
            Object::List(list) => list.extend(items),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Value<'a>]) -> Done<()> {
        let (pairs, []) = items.as_chunks::<2>() else { return Err(damaged()) };
        match self.top_object()? {
            Object::Dict(dict) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn top_object(&mut self) -> Done<&mut Object<'a>> {
        match self.top()? {
            Value::Object(at) => self.objects.get_mut(at).ok_or_else(damaged),
            _ => Err(damaged()),
        }
    }

    fn tuple(&self, value: Value<'a>) -> Done<&[Value<'a>]> {
        match self.get(value) {
            Some(Object::Tuple(items)) => Ok(items),
            _ => Err(damaged()),
        }
    }

    pub fn list(&self, value: Value<'a>) -> Done<&[Value<'a>]> {
        match self.get(value) {
            Some(Object::List(items) | Object::Tuple(items)) => Ok(items),
            _ => Err(damaged()),
        }
    }

    fn pair(&self, value: Value<'a>) -> Done<(Value<'a>, Value<'a>)> {
        match self.list(value)? {
            [key, value] => Ok((*key, *value)),
            _ => Err(damaged()),
        }
    }

    /// The object of a value, if it is composite.
    pub fn get(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(at) => self.objects.get(at),
            _ => None,
        }
    }

    fn recall(&mut self, key: u32) -> Done<()> {
        let value = self.memo.get(&key).copied().ok_or_else(damaged)?;
        self.stack.push(value);
        Ok(())
    }

    fn make(&mut self, object: Object<'a>) {
        let value = self.object(object);
        self.stack.push(value);
    }

    fn object(&mut self, object: Object<'a>) -> Value<'a> {
        self.objects.push(object);
        Value::Object(self.objects.len() - 1)
    }

    /// The topmost value that no mark hides.
    fn top(&self) -> Done<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[_]>::last).copied().ok_or_else(damaged)
    }

    fn pop(&mut self) -> Done<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn since_mark(&mut self) -> Done<Vec<Value<'a>>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, n: usize) -> Done<&'a [u8]> {
        let end = self.at.checked_add(n).ok_or_else(damaged)?;
        let bytes = self.data.get(self.at..end).ok_or_else(|| "its pickle is truncated".to_owned())?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Done<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    fn byte(&mut self) -> Done<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The bytes after a length that has `width` bytes.
    fn counted(&mut self, width: usize) -> Done<&'a [u8]> {
        let mut length = [0; 8];
        length.iter_mut().zip(self.take(width)?).for_each(|(to, from)| *to = *from);
        self.take(usize::try_from(u64::from_le_bytes(length)).map_err(|_| damaged())?)
    }

    fn text(&mut self, width: usize) -> Done<()> {
        let text =
            std::str::from_utf8(self.counted(width)?).map_err(|_| "it has a string that is not UTF-8".to_owned())?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn bytes(&mut self, width: usize) -> Done<()> {
        self.counted(width)?;
        self.stack.push(Value::Other);
        Ok(())
    }

    fn long(&mut self) -> Done<()> {
        let bytes = self.counted(1)?;
        let mut wide = [if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 }; 8];
        let value = match wide.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(wide))
            }
            None => Value::Big(bytes),
        };
        self.stack.push(value);
        Ok(())
    }

    fn line(&mut self) -> Done<&'a str> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        // Names are shorter, and the search must stay short.
        let end = rest.iter().take(1024).position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(line.get(..end).unwrap_or_default()).map_err(|_| damaged())
    }
}

fn damaged() -> String {
    "its pickle is damaged".into()
}
