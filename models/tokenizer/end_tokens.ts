/**
 * How models spell the end of a text, a turn or a message. A chat model's file often names only one of its end tokens;
 * generation must stop at any of them.
 */
const endTokens: ReadonlySet<string> = new Set([
  '</s>', // Llama 2, Mistral
  '<|endoftext|>', // GPT-2, SmolLM, Qwen
  '<|im_end|>', // ChatML: SmolLM-Instruct, Qwen
  '<|end_of_text|>', // Llama 3, Granite
  '<|eot_id|>', // Llama 3, end of turn
  '<|eom_id|>', // Llama 3, end of message
  '<|end|>', // Phi 3
  '<end_of_turn>', // Gemma
  '<eos>', // Gemma
  '<end_of_utterance>', // SmolVLM
  '<｜end▁of▁sentence｜>', // DeepSeek
  '<|return|>', // gpt-oss
  '<|call|>',
  '<EOT>', // Code Llama
  '_<EOT>', // MPT
  '▁<EOT>', // Code Llama, as SentencePiece spells it
  '[EOT]', // Kimi K2
  '[EOS]',
]);

export function isEndToken(token: string): boolean {
  return endTokens.has(token);
}
