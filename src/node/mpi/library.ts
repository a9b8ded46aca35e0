// The MPI library of this machine, called through koffi. Its two binary interfaces differ in what a handle is: Open MPI's are
// addresses of symbols, MPICH's are numbers (its mpi.h, which Intel's and Cray's share).
import { createRequire } from "node:module";
import { UsageError } from "../failure.ts";
import type { Launched } from "./launcher.ts";

export type Handle = bigint | number;
/** Arrays are read and written in place; a bigint or null is an address. */
type Argument = Handle | null | ArrayBufferView;

export interface MpiLibrary {
  /** How it calls itself: "Open MPI v4.1.4, …". */
  readonly version: string;
  readonly world: Handle;
  readonly float: Handle;
  readonly byte: Handle;
  readonly sum: Handle;
  readonly errorsReturn: Handle;
  readonly inPlace: bigint;
  readonly ignore: bigint;
  /** Calls a function of mpi.h. Throws an Error in the library's words where it fails. */
  call(name: keyof typeof functions, ...args: readonly Argument[]): void;
  /** What MPI_Comm_dup wrote there. */
  handleIn(memory: BigInt64Array): Handle;
  /** This process ends after so many seconds, also where it hangs in the library; 0: not. On Linux only. */
  alarm(seconds: number): void;
}

/** h: a handle; p: an address; i: an int. */
const functions = {
  MPI_Init: "pp",
  MPI_Finalize: "",
  MPI_Abort: "hi",
  MPI_Comm_rank: "hp",
  MPI_Comm_size: "hp",
  MPI_Comm_dup: "hp",
  MPI_Comm_set_errhandler: "hh",
  MPI_Iallreduce: "ppihhhp",
  MPI_Ibcast: "pihihp",
  MPI_Ibarrier: "hp",
  MPI_Isend: "pihiihp",
  MPI_Iprobe: "iihpp",
  MPI_Recv: "pihiihp",
  MPI_Test: "ppp",
} as const;

const files: Readonly<Record<"openmpi" | "mpich", readonly string[]>> = {
  openmpi: ["libmpi.so.40", "libmpi.40.dylib", "libmpi.so", "libmpi.dylib"],
  mpich: ["libmpich.so.12", "libmpi.so.12", "libmpi_cray.so.12", "libmpi.12.dylib", "libmpich.so"],
};
const packages = {
  openmpi: "Open MPI 4 or 5 (Debian: libopenmpi3)",
  mpich: "MPICH 4 or one of its kin (Debian: libmpich12)",
};

/** The part of koffi that is used; the package is optional. */
interface Koffi {
  load(path: string, options?: { readonly global?: boolean }): Library;
}
interface Library {
  func(name: string, result: string, args: readonly string[]): (...args: readonly Argument[]) => number;
  symbol(name: string, type?: string): bigint;
}

/** `named`: a library instead of the launcher's. Throws a UsageError that says what to install. */
export function mpiLibrary(family: Exclude<Launched["family"], "none">, named?: string): MpiLibrary {
  const koffi = loadKoffi();
  const lib = loadLibrary(koffi, family, named);
  const symbol = (name: string): bigint | undefined => {
    try {
      return lib.symbol(name, "void *");
    } catch {
      return undefined;
    }
  };
  const open = symbol("ompi_mpi_comm_world") !== undefined;
  const handle = (name: string, number: number): Handle => (open ? (symbol(name) ?? 0n) : number);
  const types: Readonly<Record<string, string>> = { h: open ? "void *" : "int", p: "void *", i: "int" };
  const known = new Map<string, ReturnType<Library["func"]>>();
  const plain = (name: string, args: string, ...given: readonly Argument[]): number => {
    const found =
      known.get(name) ??
      lib.func(
        name,
        "int",
        Array.from(args, (letter) => types[letter]),
      );
    known.set(name, found);
    return found(...given);
  };
  const text = (call: (out: Uint8Array, length: Int32Array) => number): string => {
    const [out, length] = [new Uint8Array(8192), new Int32Array(16)];
    call(out, length);
    return new TextDecoder().decode(out.subarray(0, length[0])).replace(/[\s\0]+$/, "");
  };
  const alarm = process.platform === "linux" ? koffi.load("libc.so.6").func("alarm", "uint", ["uint"]) : undefined;
  return {
    version: text((out, length) => plain("MPI_Get_library_version", "pp", out, length)).split(/[\n,]/)[0],
    world: handle("ompi_mpi_comm_world", 0x44000000),
    float: handle("ompi_mpi_float", 0x4c00040a),
    byte: handle("ompi_mpi_byte", 0x4c00010d),
    sum: handle("ompi_mpi_op_sum", 0x58000003),
    errorsReturn: handle("ompi_mpi_errors_return", 0x54000001),
    inPlace: open ? 1n : 0xffff_ffff_ffff_ffffn,
    ignore: open ? 0n : 1n,
    call(name, ...args) {
      const code = plain(name, functions[name], ...args);
      if (code === 0) return;
      const words = text((out, length) => plain("MPI_Error_string", "ipp", code, out, length));
      throw new Error(`The other ranks cannot be reached any more: ${name} says "${words}".`);
    },
    handleIn: (memory) => (open ? memory[0] : Number(BigInt.asIntN(32, memory[0]))),
    alarm: (seconds) => void alarm?.(seconds),
  };
}

function loadKoffi(): Koffi {
  try {
    return createRequire(import.meta.url ?? __filename)("koffi") as Koffi;
  } catch (cause) {
    throw new UsageError("Several processes need the package koffi, which is not there: npm install koffi.", { cause });
  }
}

function loadLibrary(koffi: Koffi, family: "openmpi" | "mpich", named: string | undefined): Library {
  for (const file of named ? [named] : files[family]) {
    try {
      // Its parts are loaded later and look for its symbols.
      return koffi.load(file, { global: true });
    } catch {}
  }
  const missing = named
    ? `FEWSTEP_MPI is ${named}, which cannot be loaded`
    : `The library of ${packages[family]} is missing`;
  throw new UsageError(
    `${missing}: install it on every machine, or say in FEWSTEP_MPI where it is (it must be the launcher's own).`,
  );
}
