// What was looked at after the runs, where a claim did not come out as its paper has it. None of it changes a verdict.

export const afterwards: Readonly<Record<string, string>> = {};
