// Golden values of SDXL-shaped models (tiny-sdxl): two text encoders, U-Net, VAE.
import { testModels } from "./modelTests.ts";

testModels("stable-diffusion-xl");
