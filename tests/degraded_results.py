"""People and keypoint results with every kind of error, made by rule.

What they are may never change: published numbers in ``data`` belong to them.
"""
import numpy as np
from factories import COCO_FLIP, COCO_NAMES

from mmpose_ssa.diagnosis import diagnose

# A standing person, 70 x 98 units.
POSE = np.array([
    (50, 10), (55, 6), (45, 6), (61, 9), (39, 9), (70, 28), (30, 28),
    (78, 46), (22, 46), (84, 62), (16, 62), (62, 60), (38, 60), (64, 82),
    (36, 82), (65, 104), (35, 104)], float)
SIGMAS = np.array([.026, .025, .025, .035, .035, .079, .079, .072, .072, .062,
                   .062, .107, .107, .087, .087, .089, .089])
FLIP = np.array(COCO_FLIP)


def diagnosis(dataset, results, area_range=(32**2, 1e10), sigmas=None):
    """The diagnosis of people who are at least of COCO's medium area."""
    return diagnose(dataset, results, area_range, sigmas)


def dataset_of(annotations, images=3, names=COCO_NAMES):
    return dict(images=[dict(id=i + 1) for i in range(images)],
                annotations=annotations,
                categories=[dict(id=1, name='person', keypoints=list(names))])


def annotation(points, number=7, image=1, **more):
    """A person at (K, 2) or (K, 3) points, area 10000."""
    if np.shape(points)[1] == 2:
        points = np.column_stack([points, np.full(len(points), 2)])
    corner, size = points[:, :2].min(axis=0), np.ptp(points[:, :2], axis=0)
    return dict(dict(
        id=number, image_id=image, category_id=1, iscrowd=0, area=1e4,
        keypoints=points.ravel().tolist(), bbox=[*corner, *size],
        num_keypoints=int((points[:, 2] > 0).sum())), **more)


def result(points, score=.9, image=1):
    if np.shape(points)[1] == 2:
        points = np.column_stack([points, np.full(len(points), .5)])
    return dict(image_id=image, category_id=1, score=score,
                keypoints=points.ravel().tolist())


def people(seed, images=20):
    """Annotated persons; crowds, tiny and unlabelled ones among them."""
    rng = np.random.RandomState(seed)  # its stream never changes
    annotations = []
    for image in range(1, images + 1):
        for _ in range(rng.randint(0, 6)):
            scale = rng.uniform(.4, 3)
            points = POSE * scale + rng.uniform(20, 300, 2)
            points += rng.normal(0, 3, (17, 2)) * scale
            visible = rng.choice(3, 17, p=[.2, .2, .6])
            fate = rng.uniform()
            if fate < .12:
                visible[:] = 0
            points = np.column_stack([points, visible]).round(2)
            box = np.prod(np.ptp(points[:, :2], axis=0))
            new = annotation(
                points, 100 + len(annotations), image, iscrowd=int(fate < .04),
                area=round(box * rng.uniform(.2, .6), 2))
            points[visible == 0] = 0
            annotations.append(dict(new, keypoints=points.ravel().tolist()))
    return dataset_of(annotations, images)


def degraded(dataset, seed, missing=0.):
    """Results with every kind of error, made of the annotations.

    Args:
        dataset: Annotations of COCO's keypoints.
        seed: Of the random numbers.
        missing: Probability of a keypoint to be zero-filled.
    """
    rng = np.random.RandomState(seed)
    results = []

    def add(image, points, score):
        points = np.column_stack([points, rng.uniform(.1, 1, 17)])
        points[rng.uniform(size=17) < missing] = 0
        results.append(result(points.round(2), round(score, 4), image))

    for image in (image['id'] for image in dataset['images']):
        persons = [ann for ann in dataset['annotations']
                   if ann['image_id'] == image]
        truths = np.reshape([ann['keypoints'] for ann in persons],
                            (-1, 17, 3))
        for ann, truth in zip(persons, truths):
            x, y, w, h = ann['bbox']
            somewhere = rng.uniform((x, y), (x + w, y + h), (17, 2))
            where = np.where(truth[:, 2:] > 0, truth[:, :2], somewhere)
            for times in range(rng.choice(4, p=[.1, .7, .15, .05])):
                spread = rng.choice([.01, .05, .1]) * np.sqrt(ann['area'])
                points = where + rng.normal(0, spread, (17, 2))
                fate = rng.uniform(size=(17, 1))
                points = np.where(fate < .12, points[list(COCO_FLIP)], points)
                other = truths[rng.randint(len(truths))]
                near = other[:, :2] + rng.normal(0, spread / 3, (17, 2))
                take = (fate > .12) & (fate < .25) & (other[:, 2:] > 0)
                points = np.where(take, near, points)
                points = np.where(fate > .9, somewhere, points)
                add(image, points, rng.uniform(.2, 1) * .8**times)
        for _ in range(25 if image % 10 == 3 else rng.randint(0, 3)):
            shift = rng.uniform(0, 400, 2)
            add(image, POSE * rng.uniform(.1, 2) + shift, rng.uniform(0, .7))
    return [results[i] for i in rng.permutation(len(results))]
