// Golden values of multi-view U-Nets (tiny-multiview): a second picture's latents, and cameras through class_labels.
import { testUNets } from "./unetTests.ts";

testUNets("multiview");
