// From a pretrained teacher to pictures of a few-step student. Run: npx tsx examples/threeLines.ts
import { accelerate, load } from "fewstep";

const teacher = await load("assets/mnist-teacher");
const student = await accelerate(teacher, "perflow", { data: "assets/mnist-small", preset: "small", images: 2048 });
await student.sample({ steps: 4, n: 64 }).save("grid.png");
