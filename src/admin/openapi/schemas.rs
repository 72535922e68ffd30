//! Schemas of types, by name.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// Those that something refers to.
#[derive(Default)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    /// A reference to the schema of `T`, which is taken in with all that it refers to itself.
    pub(super) fn of<T: ToSchema>(&mut self) -> Value {
        let name = T::name().into_owned();
        let mut found = Vec::new();
        T::schemas(&mut found);
        found.push((name.clone(), T::schema()));
        for (name, schema) in found {
            // A schema holds nothing that JSON cannot.
            self.0.entry(name).or_insert_with(|| serde_json::to_value(schema).unwrap_or_default());
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    pub(super) fn into_value(self) -> Value {
        self.0.into()
    }
}

/// Stands in schemas for an IP address, which JSON has as a text.
pub(in crate::admin) struct Address;

impl PartialSchema for Address {
    fn schema() -> RefOr<Schema> {
        let of = |format| {
            let text = ObjectBuilder::new().schema_type(Type::String);
            text.format(Some(SchemaFormat::KnownFormat(format)))
        };
        AnyOfBuilder::new()
            .item(of(KnownFormat::Ipv4))
            .item(of(KnownFormat::Ipv6))
            .description(Some("An IP address."))
            .into()
    }
}

impl ToSchema for Address {}
