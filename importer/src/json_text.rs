//! JSON as text: writing strings that may hold anything, and values in one spelling.

use serde_json::{Map, Value};

/// Writes `text` as a JSON string. Bytes that are no UTF-8 are kept as they are: what reads them back must see the same
/// fault, not a character that stands in for it.
pub(crate) fn write_string(line: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    line.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0..0x20 => {
                line.extend_from_slice(b"\\u00");
                line.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => line.push(*byte),
        }
    }
    line.push(b'"');
}

/// Writes `value` compactly, the members of objects in the order of their keys.
pub(crate) fn write_canonical(line: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(map) => write_members_canonical(line, map),
        Value::Array(items) => {
            line.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    line.push(b',');
                }
                write_canonical(line, item);
            }
            line.push(b']');
        }
        Value::String(text) => write_string(line, text.as_bytes()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            line.extend_from_slice(value.to_string().as_bytes());
        }
    }
}

/// [`write_canonical`] for an object.
pub(crate) fn write_members_canonical(line: &mut Vec<u8>, map: &Map<String, Value>) {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_unstable_by_key(|(key, _)| *key);
    line.push(b'{');
    for (position, (key, member)) in members.into_iter().enumerate() {
        if position > 0 {
            line.push(b',');
        }
        write_string(line, key.as_bytes());
        line.push(b':');
        write_canonical(line, member);
    }
    line.push(b'}');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{write_canonical, write_string};

    #[test]
    fn strings_are_read_back() {
        for text in ["", "a\"b\\c", "line\nline\r\t", "\u{1}\u{1f}", "Zürich 🚆"] {
            let mut line = Vec::new();
            write_string(&mut line, text.as_bytes());
            assert_eq!(serde_json::from_slice::<Value>(&line).expect("JSON"), json!(text));
        }
    }

    #[test]
    fn order_of_keys_makes_no_difference() {
        let spelling = |text: &str| {
            let mut line = Vec::new();
            write_canonical(&mut line, &serde_json::from_str(text).expect("JSON"));
            String::from_utf8(line).expect("UTF-8")
        };
        assert_eq!(
            spelling(r#"{"b":[1,{"z":null,"y":true}],"a":"x"}"#),
            r#"{"a":"x","b":[1,{"y":true,"z":null}]}"#
        );
        assert_eq!(
            spelling(r#"{"b":1.5,"a":{}}"#),
            spelling(r#"{ "a":{}, "b":1.5 }"#)
        );
    }
}
