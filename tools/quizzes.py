r"""The quizzes of the lessons as a bank of questions in Moodle's XML, which Moodle and many other platforms import.

One category for each lesson; every choice keeps what the lesson says to whoever takes it. Formulas stand in \( \), as the platforms'
MathJax wants them.
"""

import xml.etree.ElementTree as ET

import markup
import reading


def bank(lessons: list[reading.Lesson]) -> str:
    """The questions of these lessons, as a file for "Import questions", format Moodle XML."""
    quiz = ET.Element("quiz")
    for lesson in lessons:
        category = ET.SubElement(quiz, "question", type="category")
        _text(
            category, "category", f"$course$/top/Diffusion tutorial/{lesson.stem[:2]} {lesson.title.replace('/', '//')}"
        )
        for number, block in enumerate(lesson.questions, 1):
            quiz.append(_question(f"{lesson.stem[:2]}.{number:02d} {lesson.title}", block))
    ET.indent(quiz)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(quiz, encoding="unicode") + "\n"


def _question(name: str, block: reading.Block) -> ET.Element:
    """One question with one right answer, whose order is shuffled."""
    question = ET.Element("question", type="multichoice")
    _text(question, "name", name)
    _html(ET.SubElement(question, "questiontext", format="html"), block.text)
    _html(ET.SubElement(question, "generalfeedback", format="html"), "")
    settings = {"defaultgrade": "1", "penalty": "0.3333333", "hidden": "0", "single": "true", "shuffleanswers": "true"}
    for key, value in {**settings, "answernumbering": "ABCD"}.items():
        ET.SubElement(question, key).text = value
    for each in block.answers:
        answer = ET.SubElement(question, "answer", fraction="100" if each.right else "0", format="html")
        ET.SubElement(answer, "text").text = markup.inline(each.text)
        _html(ET.SubElement(answer, "feedback", format="html"), each.feedback)
    return question


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(ET.SubElement(parent, tag), "text").text = text


def _html(parent: ET.Element, markdown: str) -> None:
    ET.SubElement(parent, "text").text = markup.rendered(markdown) if markdown else ""
