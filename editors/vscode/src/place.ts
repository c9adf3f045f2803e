// Places in documents. Knows nothing of VS Code.

/** Lines and characters from 0; characters are UTF-16 units. */
export interface Position {
  line: number;
  character: number;
}

/** A place in a version of a document. */
export interface Place extends Position {
  uri: string;
  version: number;
}

export function isSame(one: Place, other: Place): boolean {
  return (
    one.uri === other.uri &&
    one.version === other.version &&
    one.line === other.line &&
    one.character === other.character
  );
}
