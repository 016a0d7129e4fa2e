//! Properties of an event: a JSON object that, over a file, holds values of every JSON kind.

use std::fmt::Write;

use super::random::Random;

const PLATFORMS: [&str; 4] = ["web", "ios", "android", "web"];
const COUNTRIES: [&str; 12] = [
    "US", "DE", "BR", "IN", "FR", "GB", "JP", "ES", "PL", "NL", "KE", "CL",
];
const PLANS: [&str; 3] = ["free", "pro", "team"];
const VERSIONS: [&str; 5] = ["4.0.0", "4.1.2", "4.2.0", "5.0.0", "5.1.3"];
/// Texts with what tends to break: other scripts, quotes, commas, line breaks, backslashes. As JSON.
const NOTES: [&str; 8] = [
    r#""Zürich, Bahnhofstraße 1""#,
    r#""東京 🚆 早い""#,
    r#""she said \"hello\"""#,
    r#""first line\nsecond line""#,
    r#""C:\\temp\\new""#,
    r#""naïve café; 50 % off""#,
    r#""Привет, мир""#,
    r#""""#,
];

/// Writes the object as compact JSON at the end of `text`. `user` decides what belongs to the user.
pub(crate) fn write(text: &mut String, user: u32, random: &mut Random) {
    if random.below(50) == 0 {
        text.push_str("{}");
        return;
    }
    let mut of_user = Random::of_item(0x9c3, u64::from(user));
    let platform = of_user.pick(&PLATFORMS);
    let country = of_user.pick(&COUNTRIES);
    let plan = of_user.pick(&PLANS);
    put(
        text,
        format_args!(r#"{{"platform":"{platform}","country":"{country}","plan":"{plan}""#),
    );
    put(
        text,
        format_args!(
            r#","duration_ms":{}"#,
            random.heavy_tailed(3_000_000.0) as u64 * 40 + random.below(40)
        ),
    );
    match random.below(6) {
        0 => write_amount(text, random),
        1 => put(text, format_args!(r#","signed_in":{}"#, random.below(3) > 0)),
        2 => write_referrer(text, random),
        3 => write_experiments(text, random),
        4 => write_device(text, random),
        _ => put(text, format_args!(r#","note":{}"#, random.pick(&NOTES))),
    }
    text.push('}');
}

fn write_amount(text: &mut String, random: &mut Random) {
    let cents = random.below(50_000);
    let sign = if random.below(20) == 0 { "-" } else { "" };
    put(
        text,
        format_args!(
            r#","amount":{sign}{}.{:02},"quantity":{}"#,
            cents / 100,
            cents % 100,
            1 + random.below(5)
        ),
    );
}

fn write_referrer(text: &mut String, random: &mut Random) {
    if random.below(2) == 0 {
        text.push_str(r#","referrer":null"#);
        return;
    }
    put(
        text,
        format_args!(
            r#","referrer":"https://example.org/p/{}?ref=mail,news""#,
            random.below(10_000)
        ),
    );
}

fn write_experiments(text: &mut String, random: &mut Random) {
    text.push_str(r#","experiments":["#);
    for number in 0..random.below(4) {
        let comma = if number > 0 { "," } else { "" };
        put(text, format_args!(r#"{comma}"exp-{}""#, random.below(40)));
    }
    text.push(']');
}

fn write_device(text: &mut String, random: &mut Random) {
    let version = random.pick(&VERSIONS);
    let (width, height) = (random.below(30) * 64 + 320, random.below(16) * 64 + 480);
    put(
        text,
        format_args!(
            r#","device":{{"version":"{version}","screen":{{"width":{width},"height":{height}}},"scale":1.5}}"#
        ),
    );
}

fn put(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(piece);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::{Random, write};

    fn kinds(value: &Value, seen: &mut HashSet<&'static str>) {
        seen.insert(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "double",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        });
        match value {
            Value::Array(items) => items.iter().for_each(|item| kinds(item, seen)),
            Value::Object(map) => map.values().for_each(|item| kinds(item, seen)),
            _ => {}
        }
    }

    #[test]
    fn properties_hold_every_json_kind_and_keep_their_numbers() {
        let mut seen = HashSet::new();
        for index in 0..2_000 {
            let mut text = String::new();
            write(&mut text, index as u32 % 50, &mut Random::of_item(1, index));
            let value = store::json::parse_exact(text.as_bytes()).expect("properties are JSON");
            assert!(value.is_object());
            kinds(&value, &mut seen);
        }
        assert_eq!(seen.len(), 7, "{seen:?}");
    }
}
