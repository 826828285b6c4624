//! JSON Schemas of records, made of the very types that are printed.
//!
//! Invariant: a record that is not listed by its command does not exist.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A record that a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Adds its schema to those of a generator, and returns a reference to it.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Shape {
    /// The shape of a type.
    pub const fn of<T: JsonSchema>() -> Self {
        Self { schema: SchemaGenerator::subschema_for::<T> }
    }
}

/// Records that every command may print on standard error.
pub const ON_STANDARD_ERROR: [Shape; 4] = [
    Shape::of::<super::messages::PathMessage>(),
    Shape::of::<super::messages::ProblemMessage>(),
    Shape::of::<super::messages::NoteMessage>(),
    Shape::of::<super::failure::ExitMessage>(),
];
