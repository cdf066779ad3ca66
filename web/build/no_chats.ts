// Stands for @huggingface/jinja in the page, which continues texts and renders no chat: a chunk that is never loaded stays out of its files.
throw new Error('The playground has no chats.');
