//! The header of a `.npy` file: a Python dictionary of `descr`, `fortran_order` and `shape`.

/// The first bytes of every `.npy` file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header read; NumPy itself warns of headers above 10,000 bytes.
const LONGEST: usize = 64 * 1024;

/// The most axes read; NumPy allows 64.
const MOST_AXES: usize = 64;

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// Where the dictionary starts and how many bytes it has, from the first bytes of a file.
pub(super) fn extent(start: &[u8]) -> Result<(usize, usize), String> {
    let (offset, size) = match *start.get(MAGIC.len()..).unwrap_or_default() {
        [1, 0, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [2 | 3, 0, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        [1..=3, 0, ..] | [] | [_] => return Err("it ends before its header".into()),
        [major, minor, ..] => {
            return Err(format!("its version is {major}.{minor}; 1.0, 2.0 and 3.0 are read"));
        }
    };
    if size > LONGEST {
        return Err(format!("its header claims {size} bytes; at most {LONGEST} are read"));
    }
    Ok((offset, size))
}

/// Magic, version and dictionary, padded so that the data begin at a multiple of 64 bytes as NumPy asks.
pub(super) fn encode(descr: &str, shape: &[usize]) -> Vec<u8> {
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let tuple = axes.join(", ") + if shape.len() == 1 { "," } else { "" };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({tuple}), }}");
    let unpadded = 10 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let size = text.len() as u16;
    [MAGIC, &[1, 0], &size.to_le_bytes(), text.as_bytes()].concat()
}

/// Reads the dictionary.
pub(super) fn parse(text: &[u8]) -> Result<Header, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("its header is no text: {error}"))?;
    let mut parser = Parser { text, rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    parser.expect("{")?;
    while !parser.accept("}") {
        let key = parser.string()?;
        parser.expect(":")?;
        match key {
            "descr" => descr = Some(parser.descr()?.to_owned()),
            "fortran_order" => fortran_order = Some(parser.boolean()?),
            "shape" => shape = Some(parser.tuple()?),
            _ => return Err(format!("its header has the unknown key '{key}'")),
        }
        if !parser.accept(",") {
            parser.expect("}")?;
            break;
        }
    }
    if !parser.rest.trim().is_empty() {
        return Err(parser.unexpected("nothing after '}'"));
    }
    let missing = |key: &str| format!("its header lacks the key '{key}'");
    Ok(Header {
        descr: descr.ok_or_else(|| missing("descr"))?,
        fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
        shape: shape.ok_or_else(|| missing("shape"))?,
    })
}

/// What is left to read of the dictionary.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn accept(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.accept(token) { Ok(()) } else { Err(self.unexpected(&format!("'{token}'"))) }
    }

    fn unexpected(&self, wanted: &str) -> String {
        format!("byte {} of its header should be {wanted}", self.text.len() - self.rest.len())
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let rest = self.rest.trim_start();
        for quote in ['\'', '"'] {
            if let Some((string, rest)) = rest.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
                self.rest = rest;
                return Ok(string);
            }
        }
        Err(self.unexpected("a quoted string"))
    }

    fn descr(&mut self) -> Result<&'a str, String> {
        if self.accept("[") {
            return Err("it holds records; save each field as an array of its own".into());
        }
        self.string()
    }

    fn boolean(&mut self) -> Result<bool, String> {
        if self.accept("True") {
            Ok(true)
        } else if self.accept("False") {
            Ok(false)
        } else {
            Err(self.unexpected("True or False"))
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut extents = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            extents.push(self.integer()?);
            if extents.len() > MOST_AXES {
                return Err(format!("its shape has more than {MOST_AXES} axes"));
            }
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(extents)
    }

    fn integer(&mut self) -> Result<usize, String> {
        let rest = self.rest.trim_start();
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest[..digits].parse().map_err(|_| self.unexpected("an extent"))?;
        self.rest = &rest[digits..];
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_written() {
        for shape in [&[][..], &[7], &[3, 4], &[0, 128], &[1, 2, 3]] {
            let bytes = encode("<f4", shape);
            assert!(bytes.len().is_multiple_of(64));
            let (offset, size) = extent(&bytes).unwrap();
            assert_eq!(offset + size, bytes.len());
            let expected = Header { descr: "<f4".into(), fortran_order: false, shape: shape.to_vec() };
            assert_eq!(parse(&bytes[offset..]).unwrap(), expected);
        }
    }

    #[test]
    fn keys_in_any_order_and_either_quote_are_read() {
        let header = parse(br#"{"shape":(2,3),"fortran_order":True,"descr":"<i8"}"#).unwrap();
        assert_eq!(header, Header { descr: "<i8".into(), fortran_order: true, shape: vec![2, 3] });
    }

    #[test]
    fn what_is_wrong_with_a_header_is_named() {
        let problem = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert!(problem("{'descr': '<f4', 'shape': (1,)}").contains("lacks the key 'fortran_order'"));
        assert!(
            problem("{'descr': '<f4', 'shape': (-1,)}").contains("byte 27 of its header should be an extent")
        );
        assert!(problem("{'descr': [('a', '<f4')]}").contains("records"));
        assert!(problem("{'colour': 'red'}").contains("unknown key 'colour'"));
        assert!(problem("{'shape': (99999999999999999999999,)}").contains("an extent"));
        assert!(problem("{} {}").contains("nothing after"));
    }
}
