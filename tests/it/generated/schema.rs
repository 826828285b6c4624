//! The JSON Schema of all records, made of the types that are printed, and the lists of
//! runup-json(5), made of the schema.
//!
//! Invariant: a field that is printed is in the schema, and one that is in the schema is printed.

use std::collections::{BTreeMap, BTreeSet};

use runup::cli::codes::CODES;
use runup::cli::schema::ON_STANDARD_ERROR;
use runup::cli::{Shape, commands};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::markup::inline;
use super::mdoc::{Page, arguments};

/// Where the schema is.
pub(super) const PATH: &str = "man/runup-json.schema.json";
/// Where the page is that describes it.
pub(super) const PAGE: &str = "man/runup-json.5";

/// The schema of every record, and which program prints which.
pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = settings.into_generator();
    let mut programs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for listed in commands::ALL {
        let names = names(&mut generator, listed.manual().unwrap().records);
        programs.insert(listed.name, names);
    }
    let everywhere = names(&mut generator, &ON_STANDARD_ERROR);
    let used: BTreeSet<&String> = programs.values().chain([&everywhere]).flatten().collect();
    let reference = |name: &&String| json!({ "$ref": format!("#/$defs/{name}") });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Records of RunUp",
        "description": "One record of any program: runup-json(5). Later versions may add fields.",
        "anyOf": used.iter().map(reference).collect::<Vec<_>>(),
        "$defs": generator.take_definitions(true),
        "programs": programs,
        "onStandardError": everywhere,
    })
}

fn names(generator: &mut SchemaGenerator, shapes: &[Shape]) -> Vec<String> {
    let name = |shape: &Shape| {
        let reference = (shape.schema)(generator);
        let reference = reference.get("$ref").and_then(Value::as_str).expect("a named record");
        reference.rsplit('/').next().unwrap().to_owned()
    };
    shapes.iter().map(name).collect()
}

/// The schema as a file.
pub(super) fn text() -> String {
    serde_json::to_string_pretty(&schema()).unwrap() + "\n"
}

/// A list of runup-json(5).
pub(super) fn list(name: &str) -> String {
    let schema = schema();
    let mut page = Page::new();
    match name {
        "programs" => programs(&mut page, &schema),
        "records" => records(&mut page, &schema),
        "codes" => codes(&mut page),
        other => panic!("{PAGE}: no list is called {other}"),
    }
    page.finish()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn programs(page: &mut Page, schema: &Value) {
    page.raw(".Bl -tag -width Ds");
    for listed in commands::ALL {
        let records: Vec<&str> = texts(&schema["programs"][listed.name]).collect();
        if records.is_empty() {
            continue;
        }
        page.raw(&format!(".It Xr runup-{} 1", listed.name));
        for (number, record) in records.iter().enumerate() {
            let after = if number + 1 < records.len() { " ," } else { "" };
            page.raw(&format!(".Sx {}{after}", arguments(record)));
        }
    }
    page.raw(".El");
}

fn records(page: &mut Page, schema: &Value) {
    for (name, shape) in schema["$defs"].as_object().unwrap() {
        let Some(properties) = shape["properties"].as_object() else { continue };
        page.raw(&format!(".Ss {}", arguments(name)));
        inline(page, shape["description"].as_str().unwrap_or_default(), &[]);
        page.raw(".Bl -tag -width Ds");
        for (field, of) in properties {
            page.raw(&format!(".It Va {} No \\(en {}", arguments(field), arguments(&type_of(of))));
            inline(page, of["description"].as_str().unwrap_or_default(), &[]);
        }
        page.raw(".El");
    }
}

/// The type of a field in words, such as `string or null`.
fn type_of(field: &Value) -> String {
    if let Some(reference) = field["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap().to_owned();
    }
    if let Some(options) = field["anyOf"].as_array() {
        return options.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    let is_id = field["pattern"].is_string();
    let word = |word: &str| match word {
        "string" if is_id => "id".to_owned(),
        "array" => format!("array of {}", type_of(&field["items"])),
        "object" => format!("object of {}", type_of(&field["additionalProperties"])),
        other => other.to_owned(),
    };
    match &field["type"] {
        Value::String(one) => word(one),
        Value::Array(several) => {
            let words = several.iter().filter_map(Value::as_str).map(word);
            words.collect::<Vec<_>>().join(" or ")
        }
        _ if field["enum"].is_array() => {
            let has_null = field["enum"].as_array().unwrap().contains(&Value::Null);
            if has_null { "word or null".into() } else { "word".into() }
        }
        _ => panic!("a field of no type: {field}"),
    }
}

fn codes(page: &mut Page) {
    page.raw(".Bl -tag -width Ds -compact");
    for (word, meaning) in CODES {
        page.raw(&format!(".It Li {}", arguments(word)));
        inline(page, meaning, &[]);
    }
    page.raw(".El");
}

/// The schema without room for fields that it does not name.
fn closed(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.entry("additionalProperties").or_insert(json!(false));
            }
            object.values_mut().for_each(closed);
        }
        Value::Array(items) => items.iter_mut().for_each(closed),
        _ => {}
    }
}

/// Records against the schema, closed.
pub(super) struct Validators {
    by_name: BTreeMap<String, jsonschema::Validator>,
    programs: Map<String, Value>,
    everywhere: Vec<String>,
}

impl Validators {
    pub(super) fn new() -> Self {
        let mut schema = schema();
        closed(&mut schema);
        let names: Vec<String> = schema["$defs"].as_object().unwrap().keys().cloned().collect();
        let validator = |name: String| {
            let one = json!({ "$defs": schema["$defs"], "$ref": format!("#/$defs/{name}") });
            let validator = jsonschema::draft202012::new(&one).unwrap();
            (name, validator)
        };
        Self {
            by_name: names.into_iter().map(validator).collect(),
            programs: schema["programs"].as_object().unwrap().clone(),
            everywhere: texts(&schema["onStandardError"]).map(str::to_owned).collect(),
        }
    }

    /// The names of the records that a program may print.
    pub(super) fn records_of(&self, program: &str) -> Vec<String> {
        texts(&self.programs[program]).map(str::to_owned).collect()
    }

    /// Which of the records that a program may print a line is; fails if it is none.
    pub(super) fn name_of(&self, program: &str, line: &str) -> String {
        self.fitting(&self.records_of(program), line)
    }

    /// The same for a line on standard error.
    pub(super) fn name_on_standard_error(&self, line: &str) -> String {
        self.fitting(&self.everywhere, line)
    }

    fn fitting(&self, names: &[String], line: &str) -> String {
        let record: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let fits = |name: &&String| self.by_name[*name].is_valid(&record);
        names.iter().find(fits).cloned().unwrap_or_else(|| {
            let errors: Vec<String> = names
                .iter()
                .flat_map(|name| {
                    let errors = self.by_name[name].iter_errors(&record);
                    errors.map(move |error| format!("{name}: {error}"))
                })
                .collect();
            panic!("{line}\nis none of {names:?}: {errors:#?}")
        })
    }
}

#[test]
fn every_field_is_described_and_never_left_out() {
    let schema = schema();
    for (name, shape) in schema["$defs"].as_object().unwrap() {
        assert!(shape["description"].is_string(), "{name} is not described");
        let Some(properties) = shape["properties"].as_object() else { continue };
        let required: BTreeSet<&str> = texts(&shape["required"]).collect();
        for (field, of) in properties {
            assert!(of["description"].is_string(), "{name}.{field} is not described");
            assert!(required.contains(field.as_str()), "{name}.{field} may be left out");
        }
    }
}

#[test]
fn a_record_with_a_field_more_or_less_is_none() {
    let validators = Validators::new();
    let line = r#"{"message_type":"note","message":"so"}"#;
    assert_eq!(validators.name_on_standard_error(line), "note");
    for bad in [r#"{"message_type":"note"}"#, r#"{"message_type":"note","message":"so","x":1}"#] {
        let told = std::panic::catch_unwind(|| Validators::new().name_on_standard_error(bad));
        assert!(told.is_err(), "{bad}");
    }
}
