// Schemas as people read them: a tree of names, kinds and meanings.

import { h } from "../element.js";

const DEPTH_MAX = 6;

/** A text of the document: what stands in backticks is code. */
export function prose(text) {
  return (text ?? "").split("`").map((part, index) => (index % 2 === 1 ? h("code", null, part) : part));
}

function resolved(spec, schema) {
  return schema.$ref ? spec.components.schemas[schema.$ref.split("/").at(-1)] : schema;
}

/** A schema that may be `null` beside one other is that other. */
function core(spec, schema) {
  const some = schema.oneOf ?? schema.anyOf;
  const others = some?.filter((one) => one.type !== "null");
  return resolved(spec, others?.length === 1 ? others[0] : schema);
}

function kindOf(spec, schema) {
  const some = schema.oneOf ?? schema.anyOf;
  if (schema.enum) return schema.enum.map((word) => `"${word}"`).join(" | ");
  if (schema.type === undefined && some) return some.map((one) => kindOf(spec, resolved(spec, one))).join(" | ");
  if (schema.$ref) return kindOf(spec, resolved(spec, schema));
  const types = [schema.type].flat().map((type) => (type === "array" ? `${kindOf(spec, resolved(spec, schema.items))}[]` : type));
  return types.join(" | ") + (schema.format && schema.format !== "int64" && schema.format !== "int32" ? ` (${schema.format})` : "");
}

/** The tree of an object; `null` for what is none. */
export function schemaTree(spec, schema, depth = 0) {
  const object = core(spec, schema);
  const inner = object.type === "array" ? core(spec, object.items) : object;
  if (!inner?.properties || depth > DEPTH_MAX) return null;
  return h("ul", { class: "tree" }, Object.entries(inner.properties).map(([name, property]) => {
    const below = schemaTree(spec, property, depth + 1);
    const line = [h("code", null, name), h("span", { class: "kind" }, kindOf(spec, property)),
      h("span", { class: "soft" }, prose(property.description ?? resolved(spec, property).description))];
    return h("li", null, below ? h("details", null, h("summary", null, line), below) : h("div", { class: "leaf" }, line));
  }));
}

/** A value of this schema, of the examples that it gives. */
export function exampleOf(spec, schema) {
  const { properties = {}, required = [] } = resolved(spec, schema);
  const named = Object.entries(properties).filter(([name, one]) => required.includes(name) || one.examples);
  return Object.fromEntries(named.map(([name, one]) => [name, one.examples?.[0] ?? ""]));
}
