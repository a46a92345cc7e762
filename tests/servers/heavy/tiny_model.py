"""Makes a tiny Llama with random weights and a byte-level tokenizer, 3 MB, without any download.

What it says is gibberish, but printable: half a character would be held back, and no text sent at all. How a server says it is
the real thing. Usage: tiny_model.py FOLDER
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 512
WIDTH, INNER, LAYERS, HEADS, CONTEXT = 256, 512, 2, 4, 512
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
TEXT = "the quick brown fox jumps over the lazy dog. hello world. model endpoint health latency accuracy version."
SPECIAL = ["<s>", "</s>", "<unk>"]


def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [TEXT] * 50,
        trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet),
    )
    return made


def is_printable(token: str) -> bool:
    """Whether a token stands for ASCII that can be read. `Ġ` is how byte-level vocabularies write a space."""
    return token not in SPECIAL and all("!" <= character <= "~" or character == "Ġ" for character in token)


def silence_the_others(model: LlamaForCausalLM, made: Tokenizer) -> None:
    """Gives every other token the score 0, which the best of a hundred random scores is above."""
    printable = [place for token, place in made.get_vocab().items() if is_printable(token)]
    kept = torch.zeros(VOCABULARY, 1, dtype=torch.bfloat16)
    kept[printable] = 1
    with torch.no_grad():
        model.lm_head.weight.mul_(kept)


def write(folder: Path) -> None:
    torch.manual_seed(1)
    made = tokenizer()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    fast.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    silence_the_others(model, made)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
