"""Asks a server with OpenAI's and AUTOMATIC1111's clients as they come from PyPI, and checks what they make of the answers."""
import argparse
import base64
import contextlib
import io
import sys
import threading
import time

import openai
import requests
import webuiapi
from PIL import Image

from serving import server

checks = []
SMALL = "64x64"


def check(what):
    checks.append(what)
    return what


def expect(fact, words):
    if not fact:
        raise AssertionError(words)


def picture(data):
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    return image


def gone_jobs(url):
    jobs = requests.get(url + "/api/v1/jobs?limit=5").json()["jobs"]
    return jobs[0]["state"] if jobs else ""


# ---- OpenAI ----

def openai_client(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="none")


@check
def openai_models(url):
    models = list(openai_client(url).models.list())
    expect(len(models) == 1, "one model")
    expect(openai_client(url).models.retrieve(models[0].id).id == models[0].id, "found by its name")


@check
def openai_base64(url):
    made = openai_client(url).images.generate(model="gpt-image-1", prompt="a red apple", n=2, size=SMALL,
                                              extra_body={"seed": 7, "steps": 2})
    expect([picture(d.b64_json).size for d in made.data] == [(64, 64)] * 2, "two pictures of 64x64")
    expect([d.seed for d in made.data] == [7, 8], "their seeds")
    expect("gpt-image-1" in made.warnings[0], "a warning of the model's name")


@check
def openai_jpeg(url):
    made = openai_client(url).images.generate(model="mini", prompt="a red apple", size=SMALL, output_format="jpeg",
                                              output_compression=80, extra_body={"steps": 2})
    expect(picture(made.data[0].b64_json).format == "JPEG", "a JPEG")


@check
def openai_url(url):
    made = openai_client(url).images.generate(prompt="a red apple", size=SMALL, response_format="url",
                                              extra_body={"steps": 2})
    expect(Image.open(io.BytesIO(requests.get(made.data[0].url).content)).format == "PNG", "a PNG at the url")


@check
def openai_stream(url):
    events = list(openai_client(url).images.generate(prompt="a red apple", size=SMALL, stream=True, partial_images=2,
                                                     extra_body={"steps": 6}))
    kinds = [e.type.split(".")[1] for e in events]
    expect(kinds[-1] == "completed" and "partial_image" in kinds, f"partial pictures, then the whole: {kinds}")
    expect(picture(events[-1].b64_json).size == (64, 64), "64x64 at the end")
    picture(events[0].b64_json)


@check
def openai_errors(url):
    client = openai_client(url)
    for wish in ({"size": "17x17"}, {"size": "large"}, {"n": 11}, {"prompt": ""}):
        try:
            client.images.generate(**{"prompt": "a", "size": SMALL, **wish})
            raise AssertionError(f"{wish} was taken")
        except openai.BadRequestError as e:
            expect(e.type == "invalid_request_error" and e.code == "bad_request", e.body)
    try:
        client.models.retrieve("none")
        raise AssertionError("a model that is not there")
    except openai.NotFoundError as e:
        expect(e.code == "not_found", e.body)


@check
def openai_gone(url):
    try:
        openai_client(url).with_options(timeout=0.3, max_retries=0).images.generate(
            prompt="too slow", size="512x512", extra_body={"steps": 120})
        raise AssertionError("it came in time")
    except openai.APITimeoutError:
        pass
    for _ in range(100):
        if gone_jobs(url) == "cancelled":
            return
        time.sleep(0.1)
    raise AssertionError("its job goes on: " + gone_jobs(url))


# ---- AUTOMATIC1111 ----

def webui(url):
    return webuiapi.WebUIApi(baseurl=url + "/sdapi/v1", sampler="Euler", steps=2)


@check
def webui_txt2img(url):
    made = webui(url).txt2img(prompt="a red apple", negative_prompt="green", seed=5, cfg_scale=2, width=64, height=64,
                              batch_size=2)
    expect([i.size for i in made.images] == [(64, 64)] * 2, "two pictures")
    expect(made.info["all_seeds"] == [5, 6] and made.info["cfg_scale"] == 2, "their seeds and guidance")
    expect(made.images[0].info["parameters"] == made.info["infotexts"][0], "the parameters, in the PNG and beside it")
    expect(made.json["warnings"] == [], made.json["warnings"])
    told = webui(url).png_info(made.images[0])
    expect("a red apple" in str(told.info), "png-info")


@check
def webui_warns(url):
    made = webui(url).txt2img(prompt="a", cfg_scale=1, width=64, height=64, enable_hr=True, sampler_name="Euler a",
                              override_settings={"sd_model_checkpoint": "other"})
    words = " ".join(made.json["warnings"])
    expect(all(w in words for w in ("enable_hr", "Euler a", "override_settings")), words)


@check
def webui_lists(url):
    api = webui(url)
    expect(api.get_samplers()[0]["name"] == "Euler", "samplers")
    expect(len(api.get_sd_models()) == 1 and api.util_get_current_model(), "the model")
    for call in (api.get_options, api.get_cmd_flags, api.get_upscalers, api.get_loras, api.get_embeddings,
                 api.get_prompt_styles, api.get_hypernetworks, api.get_memory, api.get_progress, api.get_scripts,
                 api.get_schedulers, api.get_sd_vae, api.get_face_restorers, api.get_realesrgan_models,
                 api.get_latent_upscale_modes, api.refresh_checkpoints):
        call()
    expect("samples_format" in " ".join(api.set_options({"samples_format": "jpg"})["warnings"]), "a warning")
    expect(api.util_get_model_names(), "names")
    api.util_set_model(api.util_get_model_names()[0])


@check
def webui_progress_and_interrupt(url):
    api = webui(url)
    ended = []

    def make():
        try:
            api.txt2img(prompt="slow", steps=120, cfg_scale=1, width=512, height=512)
            ended.append("made")
        except RuntimeError as e:
            ended.append(e.args[0])

    thread = threading.Thread(target=make)
    thread.start()
    seen = None
    for _ in range(300):
        told = webui(url).get_progress()
        if told["current_image"]:
            seen = told
            break
        time.sleep(0.1)
    webui(url).interrupt()
    thread.join(60)
    expect(seen and 0 < seen["progress"] < 1 and seen["state"]["sampling_steps"] == 120, f"progress: {seen}")
    picture(seen["current_image"])
    expect(ended == [409], f"an end without a picture: {ended}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebi", default="build/mebi")
    parser.add_argument("--model", default="models/mini")
    parser.add_argument("--url", help="of a server that runs, without a slash at the end")
    arguments = parser.parse_args()
    bad = 0
    own = contextlib.nullcontext((arguments.url, None)) if arguments.url else server(arguments.mebi, arguments.model)
    with own as (url, _):
        for one in checks:
            began = time.monotonic()
            try:
                one(url)
                words = "good"
            except Exception as e:  # whatever a client makes of an answer
                bad += 1
                words = f"BAD: {type(e).__name__}: {e}"
            print(f"{one.__name__:30} {time.monotonic() - began:5.1f} s  {words}", flush=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
