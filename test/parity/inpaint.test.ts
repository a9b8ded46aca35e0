// Golden values of inpainting U-Nets (tiny-inpaint): latents, mask and masked latents as input.
import { testUNets } from "./unetTests.ts";

testUNets("inpaint");
