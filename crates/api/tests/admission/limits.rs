//! The part of the API server's checks that is not CEL (types, limits, required fields, unique list keys),
//! with its messages. `kube::core::cel` does the other part.

use serde_json::{Map, Value};

/// Everything that is wrong with `value`, as the API server would say it.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    if let (Some(wanted), false) = (schema["type"].as_str(), int_or_string)
        && !has_type(value, wanted)
    {
        found.push(format!("{path} in body must be of type {wanted}: {:?}", type_of(value)));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let words = allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        found.push(format!("{path}: Unsupported value: {value}: supported values: {words}"));
    }
    match value {
        Value::Number(number) => check_number(schema, number.as_f64().unwrap_or(f64::NAN), path, found),
        Value::String(text) => check_text(schema, text, path, found),
        Value::Array(items) => check_list(schema, items, path, found),
        Value::Object(fields) => check_object(schema, fields, path, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_number(schema: &Value, number: f64, path: &str, found: &mut Vec<String>) {
    if let Some(minimum) = schema["minimum"].as_f64().filter(|minimum| number < *minimum) {
        found.push(format!("{path} in body should be greater than or equal to {minimum}"));
    }
    if let Some(maximum) = schema["maximum"].as_f64().filter(|maximum| number > *maximum) {
        found.push(format!("{path} in body should be less than or equal to {maximum}"));
    }
}

fn check_text(schema: &Value, text: &str, path: &str, found: &mut Vec<String>) {
    let length = text.chars().count() as u64;
    if let Some(minimum) = schema["minLength"].as_u64().filter(|minimum| length < *minimum) {
        found.push(format!("{path} in body should be at least {minimum} chars long"));
    }
    if let Some(maximum) = schema["maxLength"].as_u64().filter(|maximum| length > *maximum) {
        found.push(format!("{path}: Too long: may not be more than {maximum} bytes"));
    }
}

fn check_list(schema: &Value, items: &[Value], path: &str, found: &mut Vec<String>) {
    too_many(schema["maxItems"].as_u64(), items.len(), path, found);
    if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
        let key_of = |item: &Value| {
            keys.iter().map(|key| item[key.as_str().unwrap_or("")].clone()).collect::<Vec<_>>()
        };
        for (index, item) in items.iter().enumerate() {
            if items[..index].iter().any(|earlier| key_of(earlier) == key_of(item)) {
                found.push(format!("{path}[{index}]: Duplicate value: {item}"));
            }
        }
    }
    for (index, item) in items.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}[{index}]"), found);
    }
}

fn check_object(schema: &Value, fields: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
    too_many(schema["maxProperties"].as_u64(), fields.len(), path, found);
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(required) {
            found.push(format!("{}: Required value", below(required)));
        }
    }
    for (name, value) in fields {
        let field = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        if let Some(field) = field {
            check(field, value, &below(name), found);
        }
    }
}

fn too_many(maximum: Option<u64>, count: usize, path: &str, found: &mut Vec<String>) {
    if let Some(maximum) = maximum.filter(|maximum| count as u64 > *maximum) {
        found.push(format!("{path}: Too many: {count}: must have at most {maximum} items"));
    }
}

fn has_type(value: &Value, wanted: &str) -> bool {
    type_of(value) == wanted || (wanted == "number" && type_of(value) == "integer")
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
