export function checkGeneratorMemory(..._: unknown[]): void {}
