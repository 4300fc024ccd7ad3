import { ReplicationError, ReplicationErrors } from '../../model/errors.ts';

/** A value as it is written, and the line where its key stands (from 1). */
export interface RawEntry {
  readonly value: string;
  readonly line: number;
}

export interface RawSection {
  readonly name: string;
  readonly line: number;
  /** By key, in lower case. */
  readonly entries: ReadonlyMap<string, RawEntry>;
}

/** A mirror file before its meaning is looked at: the same for INI and YAML. */
export interface RawFile {
  /** As messages name it. */
  readonly file: string;
  /** `[DEFAULT]`: what sections have that do not say otherwise. */
  readonly defaults: RawSection;
  readonly sections: readonly RawSection[];
}

/** Name of the section that the others take their missing values from; case counts, as in Python's configparser. */
export const defaultSection = 'DEFAULT';

/** Collects everything that is wrong with a file, so that it is told in one go. */
export class Problems {
  readonly #file: string;
  readonly #errors: ReplicationError[] = [];

  constructor(file: string) {
    this.#file = file;
  }

  add(line: number, message: string, remedy?: string): void {
    const where = `${this.#file}:${line}`;
    // A mistake in [DEFAULT] is met again in every section.
    if (this.#errors.some((error) => error.message === `${where}: ${message}`)) return;
    this.#errors.push(new ReplicationError('configuration', `${where}: ${message}`, { reference: where, remedy }));
  }

  /** @throws ReplicationErrors with all that was added */
  throwIfAny(): void {
    if (this.#errors.length > 0) throw new ReplicationErrors(this.#errors);
  }
}
