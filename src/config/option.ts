import type { Config } from './config.ts';
import * as kinds from './kinds.ts';

/** What a row of the option table is (options.ts), and what its parts share. Data only. */

export const commandNames = ['serve', 'check', 'demo'] as const;
export type CommandName = (typeof commandNames)[number];

export interface Option<T> {
  /** `--name` on the command line, `name:` in the file, `DUALMAP_NAME` in the environment. */
  readonly name: string;
  readonly kind: kinds.Kind<T>;
  /** What a number counts; empty if it has no unit. */
  readonly unit: string;
  readonly default: T;
  /** Stands for the default in the documentation, where that differs from machine to machine. */
  readonly defaultText?: string;
  /** What it does and why it is as it is; ends up in `--help` and in the README. */
  readonly why: string;
  readonly commands: readonly CommandName[];
  /** Never shown, in no message. */
  readonly secret?: true;
}

export type OptionTable = { readonly [Field in keyof Config]: Option<Config[Field]> };

export const filePath = kinds.text(/^[^\0]+$/, {
  placeholder: 'FILE',
  accepts: 'a path',
  edges: { taken: ['dualmap.yaml', 'a b.yaml'], refused: [''] },
});
