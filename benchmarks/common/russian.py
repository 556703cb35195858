"""What the benchmarks' tables say, in Russian, for README.ru.md; what is not here (names, messages of failures) stays as it is."""

from __future__ import annotations

import re

# parts of headers and cells, found as whole words, the longest first
PHRASES = {
    "network": "сеть",
    "model": "модель",
    "library": "библиотека",
    "precision": "точность",
    "bar": "планка",
    "aim": "цель",
    "engine": "движок",
    "beside": "рядом с",
    "what": "что",
    "measures": "меры",
    "batch": "батч",
    "window": "окно",
    "ms": "мс",
    "MB": "МБ",
    "GB": "ГБ",
    "peer": "соперник",
    "peer, ms": "соперник, мс",
    "the best peer": "лучший соперник",
    "no peer ran": "ни один соперник не запустился",
    "pictures/s": "изображений/с",
    "times as fast": "во сколько раз быстрее",
    "swinkit is times as fast": "во сколько раз swinkit быстрее",
    "times as light": "во сколько раз меньше памяти",
    "largest error": "наибольшая ошибка",
    "floor": "предел",
    "share of the floor": "доля предела",
    "training step": "шаг обучения",
    "times a training step": "во сколько раз быстрее шага обучения",
    "first epoch, pictures/s": "первая эпоха, изображений/с",
    "later epochs, pictures/s": "следующие эпохи, изображений/с",
    "pictures": "изображения",
    "megapixels": "мегапикселей",
    "nothing kept": "без хранения",
    "peak memory": "пик памяти",
    "memory": "память",
    "and not more memory": "и памяти не больше",
    "top-1 equal": "тот же класс",
    "as it comes": "по умолчанию",
    "inference script": "скрипт предсказания",
    "bfloat16 weights": "веса в bfloat16",
    "sparse over faithful": "разреженное против полного",
    "faithful over transformers": "полное против transformers",
    "pixels a side": "пикселей в стороне",
    "ns a pixel": "нс на пиксель",
    "s a step": "с на шаг",
    "more than": "больше",
    "without kernels": "без ядер",
    "gradient_checkpointing and attention_chunk=16": "gradient_checkpointing и attention_chunk=16",
    "sizes, each with batches 1 to 3": "размеров, каждый при батчах от 1 до 3",
    "export took": "экспорт занял",
    "same class as float32": "тот же класс, что в float32",
    "times as fast as the faster float": "во сколько раз быстрее лучшего float",
    "largest class drop": "наибольшая потеря класса",
    "layers in float": "слоёв осталось во float",
    "few labels": "мало меток",
    "test pictures": "тестовых изображений",
    "seeds": "запусков",
    "support vector machine": "метод опорных векторов",
    "per class": "на класс",
    "from nothing": "с нуля",
    "fashion": "одежда",
    "digits": "цифры",
    "from the bundled weights": "от весов из пакета",
    "maps of one picture": "карты одного изображения",
    "every map": "все карты",
    "every map with its checks": "все карты с проверками",
    "the class map with its checks": "карта класса с проверками",
    "unchecked": "без проверок",
    "s beyond imports": "с сверх загрузки",
    "MB beyond imports": "МБ сверх загрузки",
    "copies of the weights": "копий весов",
    "one picture": "одно изображение",
    "this processor does not multiply bfloat16": "этот процессор не умножает bfloat16",
}

# whole sentences of notes, with what varies in groups
SENTENCES = {
    r"This processor does not multiply bfloat16, so that float32 was measured\.":
        "Этот процессор не умножает bfloat16, поэтому измерено float32.",
    r"As it comes, swinkit computes in (\w+); the peers in float32\.":
        r"По умолчанию swinkit считает в \1, соперники – в float32.",
    r"([\d,]+) pictures; the model told ([\d.]+)% of the last pieces that it was trained on right\.":
        r"Изображений: \1; модель верно назвала \2% последних кусочков, на которых обучалась.",
    r"Largest difference of a logit from PyTorch's\.": "Наибольшее отличие логита от PyTorch.",
    r"Bars: (\d+)% of the same class, at most ([\d.]+) points of top-1, ([\d.]+) times as fast; an export that misses only the last "
    r"is kept and exits with 4\. One picture at a time in OpenVINO\.":
        r"Планки: тот же класс в \1%, потеря верных не более \2 пункта, быстрее в \3 раза; экспорт, не взявший лишь последнюю, сохраняется и "
        r"кончается кодом 4. По одному изображению в OpenVINO.",
    r"Bar: a step at (\d+ x \d+) under (\d+) GB\.": r"Планка: шаг при \1 менее чем в \2 ГБ.",
    r"Peak memory is of the whole process\.": "Пик памяти – всего процесса.",
    r"Latency a pixel of swinkit: largest over smallest ([\d.]+) \(bar: each within ([\d.]+) of constant (\S)\)\.":
        r"Задержка swinkit на пиксель: наибольшая к наименьшей \1 (планка: в пределах \2 от постоянной \3).",
    r"Peak memory of swinkit against a straight line in the number of pixels: off by at most ([\d.]+)%\.":
        r"Пик памяти swinkit отклоняется от прямой по числу пикселей не более чем на \1%.",
    r"Time a MAC at (\d+), Swin-T over DeiT-S, (.+?): ([\d.]+ \(.+?\)) \(bar: at most ([\d.]+) (\S); (\d+) and (\d+) GMAC/s\)\.":
        r"Время на MAC при \1, Swin-T к DeiT-S, \2: \3 (планка: не более \4 \5; \6 и \7 GMAC/с).",
    r"([\d,]+) pictures, loader workers: (\d+); the step is one of (\w+)\.":
        r"Изображений: \1, процессов загрузки: \2; шаг – сети \3.",
    r"\*\*Stopped before its end\*\*: more is to be measured\.": "**Остановлено до конца**: измерено не всё.",
    r"^(\d+) s$": r"\1 с",
    r"^s$": "с",
    r"^to$": "куда",
    r"^command$": "команда",
    r"^([\d.]+) to ([\d.]+)%$": r"\1–\2%",
    r"^([\d.]+) to ([\d.]+) megapixels$": r"от \1 до \2 мегапикселей",
    r"(\w+) with random weights, threads: (\d+)\.": r"\1 со случайными весами, потоков: \2.",
    r"Memory is the most of all repeats; its bar is for weights of more than (\d+) MB\.":
        r"Память – наибольшая из повторов; планка – для весов более \1 МБ.",
    r"Share of right answers, from the lowest to the highest of the seeds\.":
        "Доля верных ответов, от худшего запуска до лучшего.",
}  # fmt: skip

WORDS = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(PHRASES, key=len, reverse=True)))})(?![\w-])")
# code, and numbers that are no part of a name or of a version such as 1.0.31
NUMBERS = re.compile(r"`[^`]*`|(?<![\w.,-])(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)(?:e[-+]?\d+)?(?!\w|[.,]\d)")


def russian(text: str) -> str:
    """A header, a cell or a note in Russian, as far as it is known, its numbers as 10\u202f000 and 0,5."""
    for english, ours in SENTENCES.items():
        text = re.sub(english, ours, text)
    return NUMBERS.sub(_number, WORDS.sub(lambda match: PHRASES[match[0]], text))


def _number(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("`") else match[0].replace(",", "\u202f").replace(".", ",")
