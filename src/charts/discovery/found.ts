/** How Kubernetes names an object; empty where the object does not say. */
export interface ObjectIdentity {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** Where in a chart's render a reference stands. */
export interface ReferencePlace {
  /** Template file as helm names it in its `# Source:` comment: `kyverno/charts/grafana/templates/deployment.yaml`. */
  readonly template: string;
  /** Set when it is in what an upgrade renders. What an install renders has a place of its own. */
  readonly isUpgrade?: true;
  /** Line in what that template rendered, from 1. */
  readonly line: number;
  readonly object: ObjectIdentity;
  /** Keys and positions from the object's top to the field: `['spec', 'template', 'spec', 'containers', 0, 'image']`. */
  readonly path: readonly (string | number)[];
  /** Set when the reference is only a part of the field's text: its first and one past its last character (UTF-16 units). */
  readonly span: { readonly start: number; readonly end: number } | undefined;
  /** Set when the field's text is itself a YAML or JSON document: keys and positions inside it. */
  readonly inside?: readonly (string | number)[];
}

/** Keys of a map that an operator puts a reference together from, by their role. */
export type PartRole = 'registry' | 'repository' | 'image' | 'tag' | 'digest';

/**
 * How sure it is that the text is an image reference. `typed`: a container's image, by Kubernetes' own types. `field`: an
 * image field of a custom resource, whole or put together from parts. `text`: a string in an argument, an environment variable,
 * an annotation or a configuration document that looks like one: a guess, until its registry confirms it.
 */
export type FoundKind = 'typed' | 'field' | 'text';

/** An image reference, or what looks like one, and how it was found. */
export interface FoundReference {
  readonly kind: FoundKind;
  /** The reference as it stands there (parts of a custom resource put together as their operator does). */
  readonly text: string;
  readonly place: ReferencePlace;
  /** Set when the reference was put together: the place is the map, and these are its keys. */
  readonly parts?: Readonly<Partial<Record<PartRole, string>>>;
}

/** A container's image that is no reference. Its text may be anything, a secret by mistake too, and is told for placeholders only. */
export interface NotAnImage {
  readonly place: ReferencePlace;
  readonly why: 'placeholder' | 'not-a-reference' | 'holds-a-secret';
  readonly text: string | undefined;
}

/** A document that could not be read, or only in part. */
export interface BrokenDocument {
  readonly template: string;
  /** Line in what the template rendered, from 1. */
  readonly line: number;
  readonly message: string;
}
