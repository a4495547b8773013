/**
 * The file of the journal: whole batches of lines, one after the other, rotated by size. Main
 * thread, without ever holding it up. What cannot be written is lost, and whoever brought it is
 * told; how much may wait here is bounded by those who bring it (journal.ts).
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';

export interface JournalFileOptions {
  readonly path: string;
  /** A batch that would make the file larger goes to a new one. */
  readonly bytesMax: number;
  /** Files kept, `path` included; older ones are `path.1`, `path.2`, ... */
  readonly filesMax: number;
}

/** Told when it changes, not at every batch. */
export interface JournalFileListener {
  onLost(cause: unknown): void;
  onWrittenAgain(): void;
}

export class JournalFile {
  readonly #options: JournalFileOptions;
  readonly #listener: JournalFileListener;
  #handle: FileHandle | null;
  #last: Promise<unknown> = Promise.resolve();
  #isLosing = false;
  /** The file ends in half a line that could not be taken back. */
  #isTorn = false;

  private constructor(
    options: JournalFileOptions,
    listener: JournalFileListener,
    handle: FileHandle,
  ) {
    this.#options = options;
    this.#listener = listener;
    this.#handle = handle;
  }

  /** Rejects if the file cannot be opened: a journal that was asked for must at least begin. */
  static async open(
    options: JournalFileOptions,
    listener: JournalFileListener,
  ): Promise<JournalFile> {
    try {
      return new JournalFile(options, listener, await open(options.path, 'a'));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`cannot write the journal: ${why}`, { cause });
    }
  }

  /** Writes after all that came before. Never rejects; false: the batch is lost. */
  append(text: string): Promise<boolean> {
    const written = this.#last.then(() => this.#write(text));
    this.#last = written;
    return written;
  }

  /** Resolves when everything is written, or lost. */
  async close(): Promise<void> {
    await this.#last;
    await this.#handle?.close();
    this.#handle = null;
  }

  async #write(text: string): Promise<boolean> {
    const bytes = Buffer.from(this.#isTorn ? `\n${text}` : text);
    try {
      let handle = await this.#opened();
      let { size } = await handle.stat();
      if (size > 0 && size + bytes.byteLength > this.#options.bytesMax) {
        await this.#rotate();
        handle = await this.#opened();
        size = 0;
      }
      try {
        await handle.appendFile(bytes);
      } catch (cause) {
        await this.#takeBack(handle, size);
        throw cause;
      }
    } catch (cause) {
      if (!this.#isLosing) this.#listener.onLost(cause);
      this.#isLosing = true;
      return false;
    }
    if (this.#isLosing) this.#listener.onWrittenAgain();
    this.#isLosing = false;
    this.#isTorn = false;
    return true;
  }

  async #opened(): Promise<FileHandle> {
    this.#handle ??= await open(this.#options.path, 'a');
    return this.#handle;
  }

  /** A disk that fills up takes part of a batch: no reader shall find half a line. */
  async #takeBack(handle: FileHandle, size: number): Promise<void> {
    try {
      await handle.truncate(size);
    } catch {
      // Not a file that can be cut (a device, a pipe): its next line begins on a line of its own.
      this.#isTorn = true;
    }
  }

  async #rotate(): Promise<void> {
    const { path, filesMax } = this.#options;
    const nameOf = (age: number) => (age === 0 ? path : `${path}.${age}`);
    await this.#handle?.close();
    this.#handle = null;
    await rm(nameOf(filesMax - 1), { force: true });
    for (let age = filesMax - 2; age >= 0; age -= 1)
      await renameIfThere(nameOf(age), nameOf(age + 1));
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
  }
}
