// The claims of the two papers, a page each.

import type { Claim } from "./claim.ts";
import { C1 } from "./each/C1.ts";
import { C2 } from "./each/C2.ts";
import { C3 } from "./each/C3.ts";
import { C4 } from "./each/C4.ts";
import { C5 } from "./each/C5.ts";
import { C6 } from "./each/C6.ts";
import { C7 } from "./each/C7.ts";
import { C8 } from "./each/C8.ts";
import { C9 } from "./each/C9.ts";
import { C10 } from "./each/C10.ts";
import { C11 } from "./each/C11.ts";
import { C12 } from "./each/C12.ts";
import { C13 } from "./each/C13.ts";
import { C14 } from "./each/C14.ts";

export const claims: readonly Claim[] = [C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14];
