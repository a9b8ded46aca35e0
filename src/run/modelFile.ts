// What the weights of a model say themselves of how far their training had come: after a crash between the writing of weights
// and card it is these that hold.

import type { Card } from "./card.ts";

export const progressOf = ({ imagesSeen, teacherNfe }: Card): Record<string, string> => ({
  format: "pt",
  imagesSeen: String(imagesSeen),
  teacherNfe: String(teacherNfe),
});

/** From the metadata of a safetensors file. */
export function progressIn({ imagesSeen, teacherNfe }: Readonly<Record<string, string>>): Partial<Card> {
  const [images, nfe] = [Number(imagesSeen), Number(teacherNfe)];
  return images >= 0 && nfe >= 0 ? { imagesSeen: images, teacherNfe: nfe } : {};
}
